/// Writes JSON as MessagePack, as notepack.io writes what `JSON.parse` gives, but for the order of the keys, which stays
/// as it is, and for what notepack.io corrupts.
///
/// It writes in one pass, with one byte for the head of every container. What that does not suffice for, more than 15
/// elements or a repeated key, is noted and mended at the end in one pass over the output.
struct MessagePackFromJSON {
    private var edits: [Edit] = []
    /// Why writing ended early, when it was not the JSON.
    private var failure: MessagePackError?

    private struct Edit {
        /// What of the output to leave out.
        var range: Range<Int>
        var replacement: Replacement

        enum Replacement {
            case nothing
            case arrayHead(Int)
            case mapHead(Int)
        }
    }

    /// - Parameter json: exactly one value.
    static func write(_ json: UnsafeRawBufferPointer, to output: inout OutputBytes) throws(MessagePackError) {
        guard json.count <= Payload.maximumConvertedLength else {
            throw .tooLong(maximum: Payload.maximumConvertedLength)
        }
        var writer = Self()
        var scanner = JSONScanner(json, maximumDepth: JSONText.maximumDepth)
        do throws(JSONError) {
            try writer.writeValue(&scanner, to: &output, depth: 0)
            guard scanner.peek() == nil else { throw scanner.unexpected() }
        } catch {
            throw writer.failure ?? .invalidJSON(error)
        }
        if !writer.edits.isEmpty { writer.applyEdits(to: &output) }
    }

    private mutating func writeValue(
        _ scanner: inout JSONScanner,
        to output: inout OutputBytes,
        depth: Int
    ) throws(JSONError) {
        switch scanner.peek() {
        case UInt8(ascii: "\""): try self.writeString(scanner.scanString(), of: scanner, to: &output)
        case UInt8(ascii: "{"): try self.writeObject(&scanner, to: &output, depth: depth)
        case UInt8(ascii: "["): try self.writeArray(&scanner, to: &output, depth: depth)
        case UInt8(ascii: "t"):
            _ = try scanner.skipValue()
            output.writeMessagePack(true)
        case UInt8(ascii: "f"):
            _ = try scanner.skipValue()
            output.writeMessagePack(false)
        case UInt8(ascii: "n"):
            _ = try scanner.skipValue()
            output.writeMessagePackNull()
        default:
            let range = try scanner.skipValue()
            switch JSONNumber(UnsafeRawBufferPointer(rebasing: scanner.bytes[range])) {
            case .integer(let value): output.writeMessagePack(value)
            case .unsigned(let value): output.writeMessagePack(value)
            case .double(let value): output.writeMessagePack(value)
            case nil: throw self.fail(.numberOutOfRange(offset: range.lowerBound), scanner)
            }
        }
    }

    private mutating func fail(_ failure: MessagePackError, _ scanner: JSONScanner) -> JSONError {
        self.failure = failure
        return scanner.unexpected()
    }

    private mutating func writeString(
        _ token: JSONScanner.StringToken,
        of scanner: JSONScanner,
        to output: inout OutputBytes
    ) throws(JSONError) {
        let content = UnsafeRawBufferPointer(rebasing: scanner.bytes[token.content])
        guard token.isEscaped else {
            output.writeMessagePack(utf8: content)
            return
        }
        // The head needs the length, which is known when the string is written; it is never longer than the content.
        let head = OutputBytes.messagePackStringHeadSize(content.count)
        let start = output.count
        var length = 0
        var isWellFormed = true
        output.write(upTo: head + content.count) { memory in
            (length, isWellFormed) = JSONText.unescape(content, into: .init(rebasing: memory[head...]))
            let shortHead = OutputBytes.messagePackStringHeadSize(length)
            if shortHead < head {
                UnsafeMutableRawBufferPointer(rebasing: memory[shortHead...])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: memory[head..<(head + length)]))
            }
            return shortHead + length
        }
        guard isWellFormed else { throw self.fail(.unpairedSurrogate(offset: token.range.lowerBound), scanner) }
        let end = output.count
        output.moveEnd(to: start)
        output.writeMessagePackStringHead(length)
        output.moveEnd(to: end)
    }

    private mutating func writeArray(_ scanner: inout JSONScanner, to output: inout OutputBytes, depth: Int)
        throws(JSONError)
    {
        let head = output.count
        output.writeMessagePackArrayHead(0)
        var count = 0
        try scanner.scanArray(depth: depth) { (scanner) throws(JSONError) in
            try self.writeValue(&scanner, to: &output, depth: depth + 1)
            count &+= 1
        }
        if count < 0x10 {
            output.set(0x90 | UInt8(count), at: head)
        } else {
            self.note(head..<(head + 1), .arrayHead(count))
        }
    }

    private mutating func writeObject(_ scanner: inout JSONScanner, to output: inout OutputBytes, depth: Int)
        throws(JSONError)
    {
        let head = output.count
        output.writeMessagePackMapHead(0)
        var keys = KeyTable()
        try scanner.scanObject(depth: depth) { (scanner, token) throws(JSONError) in
            let start = output.count
            try self.writeString(token, of: scanner, to: &output)
            let replaced = keys.insert(start..<output.count, in: output.bytes)
            if let replaced { self.note(replaced, .nothing) }
            try self.writeValue(&scanner, to: &output, depth: depth + 1)
        }
        keys.finish(in: output.bytes) { self.note($0, .nothing) }
        if keys.count < 0x10 {
            output.set(0x80 | UInt8(keys.count), at: head)
        } else {
            self.note(head..<(head + 1), .mapHead(keys.count))
        }
    }

    private mutating func note(_ range: Range<Int>, _ replacement: Edit.Replacement) {
        self.edits.append(Edit(range: range, replacement: replacement))
    }

    private func applyEdits(to output: inout OutputBytes) {
        var edited = OutputBytes(capacity: output.count + 4 * self.edits.count)
        var position = 0
        for edit in self.edits.sorted(by: { $0.range.lowerBound < $1.range.lowerBound })
        where edit.range.lowerBound >= position {
            // What lies in a part that was left out is left out with it.
            edited.write(UnsafeRawBufferPointer(rebasing: output.bytes[position..<edit.range.lowerBound]))
            switch edit.replacement {
            case .nothing: break
            case .arrayHead(let count): edited.writeMessagePackArrayHead(count)
            case .mapHead(let count): edited.writeMessagePackMapHead(count)
            }
            position = edit.range.upperBound
        }
        edited.write(UnsafeRawBufferPointer(rebasing: output.bytes[position...]))
        swap(&output, &edited)
    }
}
