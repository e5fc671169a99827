import NIOCore

/// Reads a message between nodes from MessagePack in one pass.
struct BusMessageMessagePackDecoder: ~Copyable {
    private let buffer: ByteBuffer
    private var reader: MessagePackReader
    private var fields = BusFields()
    /// Where the payloads begin. They are converted when it is known that somebody wants them.
    private var payload: MessagePackReader?
    private var error: MessagePackReader?

    /// The server that does not want its own events.
    private let server: String?
    private var isOwn = false

    private init(_ buffer: ByteBuffer, _ bytes: UnsafeRawBufferPointer, for server: String?) {
        self.buffer = buffer
        self.server = server
        self.reader = MessagePackReader(bytes)
    }

    /// - Returns: nil for what `server` does not handle.
    static func decode(_ buffer: ByteBuffer, for server: String?) throws(BusMessageError) -> BusMessage? {
        try buffer.withUnsafeReadableBytes { bytes throws(BusMessageError) in
            var decoder = Self(buffer, bytes, for: server)
            var isMap = false
            do throws(MessagePackError) {
                if try decoder.readMessage() {
                    if decoder.isOwn { return nil }
                    if let server, decoder.fields.isUnwanted(by: server) { return nil }
                    try decoder.readPayloads()
                    isMap = true
                }
            } catch {
                throw .invalidMessagePack(error)
            }
            guard isMap else { throw .notAMap }
            return try decoder.fields.message()
        }
    }

    /// - Returns: false when there is a value, but no map.
    private mutating func readMessage() throws(MessagePackError) -> Bool {
        guard case .map(let count) = try self.reader.next() else { return false }
        for index in 0..<count {
            if index + 1 == count, self.reader.skipStamp() { break }
            guard let key = try self.readKey(BusKey.init) else {
                try self.reader.skipValue()
                continue
            }
            switch key {
            case .data:
                try self.readData()
                if self.isOwn { return true }
            case .sender: self.fields.sender = try self.readString { $0.refuse(key) }
            case .socketID: self.fields.socketID = try self.readString { $0.refuse(key) }
            case .roomNamespace: self.fields.roomNamespace = try self.readString { $0.refuse(key) }
            case .roomID: self.fields.roomID = try self.readString { $0.refuse(key) }
            case .socketIDs: self.fields.socketIDs = try self.readStrings { $0.refuse(key) }
            case .excludedSocketIDs: self.fields.excludedSocketIDs = try self.readStrings { $0.refuse(key) }
            case .route: try self.readRoute()
            }
        }
        guard self.reader.isAtEnd else { throw .trailingBytes(offset: self.reader.position) }
        return true
    }

    private mutating func readRoute() throws(MessagePackError) {
        let start = self.reader
        self.fields.route = try self.reader.readRoute()
        if self.fields.route == nil, try !self.skipNull(from: start) { self.fields.refuse(BusKey.route) }
    }

    private mutating func readData() throws(MessagePackError) {
        let start = self.reader
        switch try self.reader.next() {
        case .string(let range):
            self.fields.data = .string
            self.fields.frame = self.frame(range)
        case .map(let count):
            self.fields.beginData()
            self.payload = nil
            self.error = nil
            try self.readMembers(count)
        default:
            self.reader = start
            try self.reader.skipValue()
            self.fields.refuse(BusKey.data)
        }
    }

    private mutating func readMembers(_ count: Int) throws(MessagePackError) {
        for _ in 0..<count {
            guard let key = try self.readKey(BusDataKey.init) else {
                try self.reader.skipValue()
                continue
            }
            switch key {
            case .event: self.fields.event = try self.readString { $0.refuse(key) }
            case .sender:
                self.fields.eventSender = try self.readString { $0.refuse(key) }
                self.isOwn = self.server != nil && self.fields.eventSender == self.server
                if self.isOwn { return }
            case .callbackID: self.fields.callbackID = try self.readString { $0.refuse(key) }
            case .targets: self.fields.targets = try self.readStrings { $0.refuse(key) }
            case .payload: self.payload = try self.skip()
            case .error: self.error = try self.skip()
            case .isCallback:
                let start = self.reader
                if case .boolean(let value) = try self.reader.next() {
                    self.fields.isCallback = value
                } else if try !self.skipNull(from: start) {
                    self.fields.refuse(key)
                }
            }
        }
    }

    /// - Returns: the reader before the value that was passed over.
    private mutating func skip() throws(MessagePackError) -> MessagePackReader {
        let start = self.reader
        try self.reader.skipValue()
        return start
    }

    private mutating func readPayloads() throws(MessagePackError) {
        if var payload = self.payload { self.fields.payload = try Payload(messagePack: &payload) }
        if var reader = self.error {
            let error = try Payload(messagePack: &reader)
            self.fields.error = error.isAbsent || error == .null ? nil : error
        }
    }

    /// The frame as it is, with U+FFFD for what is not UTF-8: clients would have to close on that.
    private func frame(_ range: Range<Int>) -> ByteBuffer {
        UTF8Text.isValid(self.reader.slice(range))
            ? self.buffer.slice(range) : ByteBuffer(string: self.reader.string(range))
    }

    /// - Returns: nil for a key that has no meaning here, whatever its type.
    private mutating func readKey<Key>(
        _ make: (UnsafeRawBufferPointer) -> Key?
    ) throws(MessagePackError) -> Key? {
        let start = self.reader
        if case .string(let range) = try self.reader.next() { return make(self.reader.slice(range)) }
        self.reader = start
        try self.reader.skipValue()
        return nil
    }

    private mutating func readString(
        orRefuse refuse: (inout BusFields) -> Void
    ) throws(MessagePackError) -> String? {
        let start = self.reader
        if case .string(let range) = try self.reader.next() { return self.reader.string(range) }
        if try !self.skipNull(from: start) { refuse(&self.fields) }
        return nil
    }

    private mutating func readStrings(
        orRefuse refuse: (inout BusFields) -> Void
    ) throws(MessagePackError) -> [String]? {
        let start = self.reader
        guard case .array(let count) = try self.reader.next() else {
            if try !self.skipNull(from: start) { refuse(&self.fields) }
            return nil
        }
        var strings: [String] = []
        for _ in 0..<count {
            let start = self.reader
            if case .string(let range) = try self.reader.next() {
                strings.append(self.reader.string(range))
            } else {
                self.reader = start
                try self.reader.skipValue()
                refuse(&self.fields)
            }
        }
        return strings
    }

    /// Goes back and passes over the value that has not the type that is wanted.
    ///
    /// - Returns: whether it is null or undefined, which stands for a key that is not there.
    private mutating func skipNull(from start: MessagePackReader) throws(MessagePackError) -> Bool {
        self.reader = start
        let isNull = start.isAtUndefined || start.isAtNull
        try self.reader.skipValue()
        return isNull
    }
}
