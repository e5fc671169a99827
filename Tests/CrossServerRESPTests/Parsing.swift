import CrossServerRESP
import NIOCore

/// What came of bytes: values, and perhaps an error behind them.
struct Parsed<Value: Equatable>: Equatable {
    var values: [Value] = []
    var error: RESPError?
    var unread: [UInt8] = []
}

func parse(_ pieces: [[UInt8]], _ limits: RESPLimits = RESPLimits()) -> Parsed<RESPValue> {
    var parser = RESPParser(limits: limits)
    return parseAll(pieces) { buffer throws(RESPError) in try parser.next(from: &buffer) }
}

func parseCommands(_ pieces: [[UInt8]], _ limits: RESPLimits = RESPLimits()) -> Parsed<[ByteBuffer]> {
    var parser = RESPCommandParser(limits: limits)
    return parseAll(pieces) { buffer throws(RESPError) in try parser.next(from: &buffer) }
}

private func parseAll<Value: Equatable>(
    _ pieces: [[UInt8]],
    _ next: (inout ByteBuffer) throws(RESPError) -> Value?
) -> Parsed<Value> {
    var parsed = Parsed<Value>()
    var buffer = ByteBuffer()
    for piece in pieces {
        buffer.writeBytes(piece)
        do throws(RESPError) {
            while let value = try next(&buffer) { parsed.values.append(value) }
        } catch {
            parsed.error = error
            return parsed
        }
    }
    parsed.unread = Array(buffer.readableBytesView)
    return parsed
}

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

func bulk(_ text: String) -> RESPValue { .bulkString(ByteBuffer(string: text)) }

extension Array {
    /// The elements in groups of a size.
    func pieces(of size: Int) -> [[Element]] {
        stride(from: 0, to: self.count, by: size).map { Array(self[$0..<Swift.min($0 + size, self.count)]) }
    }

    /// Cut in two at every place, and in pieces of one.
    var splits: [[[Element]]] {
        (0...self.count).map { [Array(self[..<$0]), Array(self[$0...])] } + [self.pieces(of: 1)]
    }
}
