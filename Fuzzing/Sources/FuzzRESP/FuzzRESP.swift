import CrossServerRESP
import FuzzSupport
import NIOCore

/// The bytes of the Redis protocol mean the same however they are cut, and what is read survives being written again.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    var input = FuzzInput(start, count)
    let flags = input.byte()
    let seed = input.byte()
    let bytes = Array(input.rest)
    if flags & 1 == 0 {
        fuzzValues(bytes, seed, flags & 2 == 0 ? RESPLimits() : smallLimits)
    } else {
        fuzzCommands(bytes, seed, flags & 2 == 0 ? RESPLimits() : smallLimits)
    }
    return 0
}

private let smallLimits: RESPLimits = {
    var limits = RESPLimits()
    limits.maximumLength = 256
    limits.maximumBulkLength = 32
    limits.maximumLineLength = 32
    limits.maximumElements = 16
    limits.maximumDepth = 4
    return limits
}()

private struct Outcome<Value: Equatable>: Equatable {
    var values: [Value] = []
    var error: RESPError?
    var unread = 0

    static func == (first: Outcome, second: Outcome) -> Bool {
        first.error == second.error && first.unread == second.unread && isSame(first.values, second.values)
    }
}

/// Not-a-number is no other's equal, but has the same description.
private func isSame<Value: Equatable>(_ first: Value, _ second: Value) -> Bool {
    first == second || "\(first)" == "\(second)"
}

private func fuzzValues(_ bytes: [UInt8], _ seed: UInt8, _ limits: RESPLimits) {
    func parse(_ pieces: [[UInt8]]) -> Outcome<RESPValue> {
        var parser = RESPParser(limits: limits)
        return read(pieces) { buffer throws(RESPError) in try parser.next(from: &buffer) }
    }
    /// As a subscriber does.
    func parseMessages(_ pieces: [[UInt8]]) -> Outcome<RESPValue> {
        var parser = RESPParser(limits: limits)
        return read(pieces) { buffer throws(RESPError) in
            guard let (channel, payload) = parser.nextMessage(from: &buffer) else {
                return try parser.next(from: &buffer)
            }
            return .array([.bulkString(ByteBuffer(string: "message")), .bulkString(channel), .bulkString(payload)])
        }
    }
    let outcome = parse([bytes])
    for pieces in [bytes.pieces(seed: seed), bytes.singles] {
        let other = parse(pieces)
        require(other == outcome, "cut: \(other)\nwhole: \(outcome)")
    }
    for pieces in [[bytes], bytes.pieces(seed: seed)] {
        let other = parseMessages(pieces)
        require(other == outcome, "messages: \(other)\nvalues: \(outcome)")
    }
    for value in outcome.values {
        var buffer = ByteBuffer()
        buffer.writeRESP(value, version: .resp3)
        require(isSame(parsedAlone(buffer), value), "written in RESP3: \(value)")
        buffer.clear()
        buffer.writeRESP(value, version: .resp2)
        require(parsedAlone(buffer) != nil, "written in RESP2: \(value)")
    }
}

private func fuzzCommands(_ bytes: [UInt8], _ seed: UInt8, _ limits: RESPLimits) {
    func parse(_ pieces: [[UInt8]]) -> Outcome<[ByteBuffer]> {
        var parser = RESPCommandParser(limits: limits)
        return read(pieces) { buffer throws(RESPError) in try parser.next(from: &buffer) }
    }
    let outcome = parse([bytes])
    for pieces in [bytes.pieces(seed: seed), bytes.singles] {
        let other = parse(pieces)
        require(other == outcome, "cut: \(other)\nwhole: \(outcome)")
    }
    for command in outcome.values {
        require(!command.isEmpty, "command without arguments")
        var buffer = ByteBuffer()
        buffer.writeRESPCommand(command)
        require(parsedAlone(buffer) == .array(command.map { .bulkString($0) }), "written: \(command)")
    }
}

private func read<Value: Equatable>(
    _ pieces: [[UInt8]],
    _ next: (inout ByteBuffer) throws(RESPError) -> Value?
) -> Outcome<Value> {
    var outcome = Outcome<Value>()
    var buffer = ByteBuffer()
    for piece in pieces {
        buffer.writeBytes(piece)
        do throws(RESPError) {
            while let value = try next(&buffer) { outcome.values.append(value) }
        } catch {
            outcome.error = error
            return outcome
        }
    }
    outcome.unread = buffer.readableBytes
    return outcome
}

/// - Returns: the value, when the bytes are one and no more.
private func parsedAlone(_ buffer: ByteBuffer) -> RESPValue? {
    var parser = RESPParser()
    var rest = buffer
    do throws(RESPError) {
        let value = try parser.next(from: &rest)
        return rest.readableBytes == 0 ? value : nil
    } catch {
        require(false, "written, but cannot be read: \(error)")
        return nil
    }
}
