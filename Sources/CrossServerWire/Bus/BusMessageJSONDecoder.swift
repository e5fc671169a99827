import NIOCore

/// Reads a message between nodes from JSON in one pass.
struct BusMessageJSONDecoder: ~Copyable {
    /// A payload is two containers deep in its message.
    private static let maximumDepth = JSONText.maximumDepth + 2

    private let buffer: ByteBuffer
    private var fields = BusFields()

    private init(buffer: ByteBuffer) {
        self.buffer = buffer
    }

    /// - Returns: nil for what `server` does not handle.
    static func decode(_ buffer: ByteBuffer, for server: String?) throws(BusMessageError) -> BusMessage? {
        guard buffer.withUnsafeReadableBytes(UTF8Text.isValid) else {
            return try Self.decodeValid(ByteBuffer(string: String(buffer: buffer)), for: server)
        }
        return try Self.decodeValid(buffer, for: server)
    }

    private static func decodeValid(_ buffer: ByteBuffer, for server: String?) throws(BusMessageError) -> BusMessage? {
        try buffer.withUnsafeReadableBytes { bytes throws(BusMessageError) in
            var decoder = Self(buffer: buffer)
            var scanner = JSONScanner(bytes, maximumDepth: Self.maximumDepth)
            do throws(JSONError) {
                try decoder.readMessage(&scanner)
                guard scanner.peek() == nil else { throw scanner.unexpected() }
            } catch {
                throw .invalidJSON(error)
            }
            if let server, decoder.fields.isUnwanted(by: server) { return nil }
            return try decoder.fields.message()
        }
    }

    private mutating func readMessage(_ scanner: inout JSONScanner) throws(JSONError) {
        try scanner.scanObject(depth: 0) { (scanner, token) throws(JSONError) in
            guard let key = scanner.withValue(of: token, BusKey.init) else {
                _ = try scanner.skipValue(depth: 1)
                return
            }
            switch key {
            case .data: try self.readData(&scanner)
            case .sender: self.fields.sender = try self.readString(&scanner, depth: 1) { $0.refuse(key) }
            case .socketID: self.fields.socketID = try self.readString(&scanner, depth: 1) { $0.refuse(key) }
            case .roomNamespace: self.fields.roomNamespace = try self.readString(&scanner, depth: 1) { $0.refuse(key) }
            case .roomID: self.fields.roomID = try self.readString(&scanner, depth: 1) { $0.refuse(key) }
            case .socketIDs: self.fields.socketIDs = try self.readStrings(&scanner, depth: 1) { $0.refuse(key) }
            case .excludedSocketIDs:
                self.fields.excludedSocketIDs = try self.readStrings(&scanner, depth: 1) { $0.refuse(key) }
            case .route:
                let isNull = scanner.peek() == UInt8(ascii: "n")
                self.fields.route = try scanner.readRoute()
                if self.fields.route == nil, !isNull { self.fields.refuse(key) }
            }
        }
    }

    private mutating func readData(_ scanner: inout JSONScanner) throws(JSONError) {
        switch scanner.peek() {
        case UInt8(ascii: "\""):
            let token = try scanner.scanString()
            self.fields.data = .string
            if token.isEscaped {
                let content = UnsafeRawBufferPointer(rebasing: scanner.bytes[token.content])
                var frame = ByteBuffer()
                frame.writeUnescapedJSON(content)
                self.fields.frame = frame
            } else {
                self.fields.frame = self.buffer.slice(token.content)
            }
        case UInt8(ascii: "{"):
            self.fields.beginData()
            try self.readMembers(&scanner)
        default:
            _ = try scanner.skipValue(depth: 1)
            self.fields.refuse(BusKey.data)
        }
    }

    private mutating func readMembers(_ scanner: inout JSONScanner) throws(JSONError) {
        try scanner.scanObject(depth: 1) { (scanner, token) throws(JSONError) in
            guard let key = scanner.withValue(of: token, BusDataKey.init) else {
                _ = try scanner.skipValue(depth: 2)
                return
            }
            switch key {
            case .event: self.fields.event = try self.readString(&scanner, depth: 2) { $0.refuse(key) }
            case .sender: self.fields.eventSender = try self.readString(&scanner, depth: 2) { $0.refuse(key) }
            case .callbackID: self.fields.callbackID = try self.readString(&scanner, depth: 2) { $0.refuse(key) }
            case .targets: self.fields.targets = try self.readStrings(&scanner, depth: 2) { $0.refuse(key) }
            case .error:
                let error = Payload(unchecked: self.buffer.slice(try scanner.skipValue(depth: 2)))
                self.fields.error = error == .null ? nil : error
            case .payload:
                self.fields.payload = Payload(unchecked: self.buffer.slice(try scanner.skipValue(depth: 2)))
            case .isCallback:
                switch scanner.peek() {
                case UInt8(ascii: "t"): self.fields.isCallback = true
                case UInt8(ascii: "f"), UInt8(ascii: "n"): self.fields.isCallback = false
                default: self.fields.refuse(key)
                }
                _ = try scanner.skipValue(depth: 2)
            }
        }
    }

    private mutating func readString(
        _ scanner: inout JSONScanner,
        depth: Int,
        orRefuse refuse: (inout BusFields) -> Void
    ) throws(JSONError) -> String? {
        switch scanner.peek() {
        case UInt8(ascii: "\""): return scanner.string(try scanner.scanString())
        // Null stands for a key that is not there.
        case UInt8(ascii: "n"): break
        default: refuse(&self.fields)
        }
        _ = try scanner.skipValue(depth: depth)
        return nil
    }

    private mutating func readStrings(
        _ scanner: inout JSONScanner,
        depth: Int,
        orRefuse refuse: (inout BusFields) -> Void
    ) throws(JSONError) -> [String]? {
        guard scanner.peek() == UInt8(ascii: "[") else {
            if scanner.peek() != UInt8(ascii: "n") { refuse(&self.fields) }
            _ = try scanner.skipValue(depth: depth)
            return nil
        }
        var strings: [String] = []
        try scanner.scanArray(depth: depth) { (scanner) throws(JSONError) in
            if scanner.peek() == UInt8(ascii: "\"") {
                strings.append(scanner.string(try scanner.scanString()))
            } else {
                refuse(&self.fields)
                _ = try scanner.skipValue(depth: depth + 1)
            }
        }
        return strings
    }
}

extension JSONScanner {
    /// Gives the bytes of a string's value; without making a string of it if nothing in it is escaped.
    fileprivate func withValue<Result>(
        of token: StringToken,
        _ body: (UnsafeRawBufferPointer) -> Result?
    ) -> Result? {
        guard token.isEscaped else { return body(UnsafeRawBufferPointer(rebasing: self.bytes[token.content])) }
        var value = self.string(token)
        return value.withUTF8 { body(UnsafeRawBufferPointer($0)) }
    }
}
