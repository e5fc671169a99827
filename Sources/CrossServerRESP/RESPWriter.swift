public import NIOCore

extension ByteBuffer {
    /// Writes `PUBLISH channel message` in one pass.
    public mutating func writePublish(channel: String, message: ByteBuffer) {
        var channel = channel
        channel.withUTF8 { channel in
            message.withUnsafeReadableBytes { message in
                let head: StaticString = "*3\r\n$7\r\nPUBLISH\r\n"
                let size = head.utf8CodeUnitCount + 2 * RawWriter.maximumHeader + channel.count + message.count + 4
                self.writeWithUnsafeMutableBytes(minimumWritableBytes: size) { target in
                    var writer = RawWriter(target)
                    writer.write(head)
                    writer.writeBulkString(UnsafeRawBufferPointer(channel))
                    writer.writeBulkString(message)
                    return writer.count
                }
            }
        }
    }

    /// Writes a command: an array of bulk strings.
    public mutating func writeRESPCommand(_ arguments: some Collection<String>) {
        self.writeRESPArrayHeader(count: arguments.count)
        for argument in arguments { self.writeRESPBulkString(argument) }
    }

    /// Writes a command: an array of bulk strings.
    public mutating func writeRESPCommand(_ arguments: some Collection<ByteBuffer>) {
        self.writeRESPArrayHeader(count: arguments.count)
        for argument in arguments { self.writeRESPBulkString(argument) }
    }

    /// Writes the beginning of an array; as many values have to follow.
    public mutating func writeRESPArrayHeader(count: Int) {
        self.writeRESPHeader("*", count)
    }

    public mutating func writeRESPBulkString(_ text: String) {
        var text = text
        text.withUTF8 { self.writeRESPBulkString(UnsafeRawBufferPointer($0)) }
    }

    public mutating func writeRESPBulkString(_ bytes: ByteBuffer) {
        bytes.withUnsafeReadableBytes { self.writeRESPBulkString($0) }
    }

    private mutating func writeRESPBulkString(_ bytes: UnsafeRawBufferPointer) {
        self.writeWithUnsafeMutableBytes(minimumWritableBytes: RawWriter.maximumHeader + bytes.count + 2) { target in
            var writer = RawWriter(target)
            writer.writeBulkString(bytes)
            return writer.count
        }
    }

    /// Writes the type, the number and the end of the line.
    mutating func writeRESPHeader(_ type: Unicode.Scalar, _ number: Int) {
        self.writeWithUnsafeMutableBytes(minimumWritableBytes: RawWriter.maximumHeader) { target in
            var writer = RawWriter(target)
            writer.writeHeader(UInt8(ascii: type), number)
            return writer.count
        }
    }
}

/// Writes into memory that is known to be large enough.
private struct RawWriter {
    /// A type, a 64 bit number with its sign, CR and LF.
    static let maximumHeader = 23

    private let target: UnsafeMutableRawBufferPointer
    private(set) var count = 0

    init(_ target: UnsafeMutableRawBufferPointer) {
        self.target = target
    }

    mutating func write(_ byte: UInt8) {
        self.target[self.count] = byte
        self.count &+= 1
    }

    mutating func write(_ text: StaticString) {
        self.write(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    mutating func write(_ bytes: UnsafeRawBufferPointer) {
        UnsafeMutableRawBufferPointer(rebasing: self.target[self.count...]).copyMemory(from: bytes)
        self.count &+= bytes.count
    }

    mutating func writeHeader(_ type: UInt8, _ number: Int) {
        self.write(type)
        if number < 0 { self.write(.minus) }
        var rest = number.magnitude
        var digits = 1
        while rest >= 10 {
            rest /= 10
            digits += 1
        }
        rest = number.magnitude
        for index in stride(from: self.count + digits - 1, through: self.count, by: -1) {
            self.target[index] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
        self.count += digits
        self.write(.carriageReturn)
        self.write(.lineFeed)
    }

    mutating func writeBulkString(_ bytes: UnsafeRawBufferPointer) {
        self.writeHeader(UInt8(ascii: "$"), bytes.count)
        self.write(bytes)
        self.write(.carriageReturn)
        self.write(.lineFeed)
    }
}
