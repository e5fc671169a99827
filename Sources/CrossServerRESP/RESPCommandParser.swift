public import NIOCore

/// Reads the commands that a Redis client sends: arrays of strings, and lines of text as a person types them.
///
/// The errors have the texts with which Redis answers, behind `ERR Protocol error: `. Like ``RESPParser`` it takes only
/// whole commands from the buffer and looks at no byte again for each read.
public struct RESPCommandParser: Sendable {
    /// May be changed at any time, and is for the commands that are read from then on.
    public var limits: RESPLimits
    private var scan = Scan()

    /// How far the next command was seen, relative to the reader index of the buffer.
    private struct Scan {
        var position = 0
        /// Arguments that are missing; nil before the number is known.
        var remaining: Int?
    }

    public init(limits: RESPLimits = RESPLimits()) {
        self.limits = limits
    }

    /// Takes the next command from the buffer. The arguments are slices of the buffer. There is at least one: commands
    /// without any, empty lines and null arrays are passed over, as Redis does.
    ///
    /// Until it returns a command, the buffer must begin with the same bytes at the next call, with more behind them.
    ///
    /// - Returns: nil when more bytes are needed.
    /// - Throws: the parser must not be used any more then.
    public mutating func next(from buffer: inout ByteBuffer) throws(RESPError) -> [ByteBuffer]? {
        while buffer.readableBytes > 0 {
            guard let end = try self.commandEnd(in: buffer) else { return nil }
            let isArray = buffer.getInteger(at: buffer.readerIndex) == UInt8(ascii: "*")
            self.scan = Scan()
            // The end was found in the readable bytes: there is no other case.
            guard let command = buffer.readSlice(length: end) else { return nil }
            let arguments = isArray ? Self.arguments(of: command) : try InlineCommand.arguments(of: command)
            if !arguments.isEmpty { return arguments }
        }
        return nil
    }

    /// - Returns: the length of the next command; nil when its end is missing.
    private mutating func commandEnd(in buffer: ByteBuffer) throws(RESPError) -> Int? {
        let limits = self.limits
        var scan = self.scan
        defer { self.scan = scan }
        return try buffer.withUnsafeReadableBytes { bytes throws(RESPError) -> Int? in
            guard bytes[0] == UInt8(ascii: "*") else {
                return try Self.inlineEnd(bytes, &scan, limits)
            }
            return try Self.arrayEnd(bytes, &scan, limits)
        }
    }

    private static func inlineEnd(
        _ bytes: UnsafeRawBufferPointer,
        _ scan: inout Scan,
        _ limits: RESPLimits
    ) throws(RESPError) -> Int? {
        let end = min(bytes.count, limits.maximumLineLength + 1)
        while scan.position < end, bytes[scan.position] != .lineFeed { scan.position &+= 1 }
        guard scan.position <= limits.maximumLineLength else { throw .limitExceeded("too big inline request") }
        return scan.position < bytes.count ? scan.position + 1 : nil
    }

    private static func arrayEnd(
        _ bytes: UnsafeRawBufferPointer,
        _ scan: inout Scan,
        _ limits: RESPLimits
    ) throws(RESPError) -> Int? {
        if scan.remaining == nil {
            guard let (count, position) = try Self.length(bytes, from: 1, "invalid multibulk length") else {
                return nil
            }
            guard count <= Int64(limits.maximumElements) else { throw .limitExceeded("invalid multibulk length") }
            scan = Scan(position: position, remaining: Int(max(count, 0)))
        }
        while let remaining = scan.remaining, remaining > 0 {
            guard scan.position < bytes.count else { return nil }
            guard bytes[scan.position] == UInt8(ascii: "$") else {
                let character = Character(UnicodeScalar(bytes[scan.position]))
                throw .invalid("expected '$', got '\(character)'")
            }
            guard let (length, content) = try Self.length(bytes, from: scan.position + 1, "invalid bulk length") else {
                return nil
            }
            guard length >= 0 else { throw .invalid("invalid bulk length") }
            guard length <= Int64(limits.maximumBulkLength) else { throw .limitExceeded("invalid bulk length") }
            let end = content + Int(length) + 2
            guard end <= limits.maximumLength else { throw .limitExceeded("too big request") }
            guard end <= bytes.count else { return nil }
            guard bytes[end - 2] == .carriageReturn, bytes[end - 1] == .lineFeed else {
                throw .invalid("expected CR LF behind a string")
            }
            scan = Scan(position: end, remaining: remaining - 1)
        }
        return scan.position
    }

    private static func length(
        _ bytes: UnsafeRawBufferPointer,
        from start: Int,
        _ message: String
    ) throws(RESPError) -> (Int64, end: Int)? {
        do throws(RESPError) {
            return try RESPNumber.parse(bytes, from: start)
        } catch {
            throw .invalid(message)
        }
    }

    /// - Parameter command: whole and without errors.
    private static func arguments(of command: ByteBuffer) -> [ByteBuffer] {
        command.withUnsafeReadableBytes { bytes in
            func number(from start: Int) -> (Int, end: Int) {
                var index = start
                var number = 0
                while bytes[index] != .carriageReturn {
                    if bytes[index].isDigit { number = number &* 10 &+ Int(bytes[index] &- UInt8(ascii: "0")) }
                    index &+= 1
                }
                return (number, index &+ 2)
            }

            guard bytes[1] != .minus else { return [] }
            var (count, position) = number(from: 1)
            var arguments: [ByteBuffer] = []
            arguments.reserveCapacity(count)
            while count > 0 {
                let (length, content) = number(from: position + 1)
                // The whole command was checked: there is no other case.
                let argument = command.getSlice(at: command.readerIndex + content, length: length) ?? ByteBuffer()
                arguments.append(argument)
                position = content + length + 2
                count -= 1
            }
            return arguments
        }
    }
}
