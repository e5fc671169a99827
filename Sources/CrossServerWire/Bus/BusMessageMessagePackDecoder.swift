import NIOCore

/// Reads a message between nodes from MessagePack in one pass.
struct BusMessageMessagePackDecoder: ~Copyable {
    private let buffer: ByteBuffer
    private var reader: MessagePackReader
    private var fields = BusFields()

    private init(_ buffer: ByteBuffer, _ bytes: UnsafeRawBufferPointer) {
        self.buffer = buffer
        self.reader = MessagePackReader(bytes)
    }

    static func decode(_ buffer: ByteBuffer) throws(BusMessageError) -> BusMessage {
        try buffer.withUnsafeReadableBytes { bytes throws(BusMessageError) in
            var decoder = Self(buffer, bytes)
            let isMap: Bool
            do throws(MessagePackError) {
                isMap = try decoder.readMessage()
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
        for _ in 0..<count {
            guard let key = try self.readKey(BusKey.init) else {
                try self.reader.skipValue()
                continue
            }
            switch key {
            case .data: try self.readData()
            case .sender: self.fields.sender = try self.readString { $0.refuse(key) }
            case .socketID: self.fields.socketID = try self.readString { $0.refuse(key) }
            case .roomNamespace: self.fields.roomNamespace = try self.readString { $0.refuse(key) }
            case .roomID: self.fields.roomID = try self.readString { $0.refuse(key) }
            case .socketIDs: self.fields.socketIDs = try self.readStrings { $0.refuse(key) }
            case .excludedSocketIDs: self.fields.excludedSocketIDs = try self.readStrings { $0.refuse(key) }
            }
        }
        guard self.reader.isAtEnd else { throw .trailingBytes(offset: self.reader.position) }
        return true
    }

    private mutating func readData() throws(MessagePackError) {
        let start = self.reader
        switch try self.reader.next() {
        case .string(let range):
            self.fields.data = .string
            self.fields.frame = self.frame(range)
        case .map(let count):
            self.fields.beginData()
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
            case .sender: self.fields.eventSender = try self.readString { $0.refuse(key) }
            case .callbackID: self.fields.callbackID = try self.readString { $0.refuse(key) }
            case .targets: self.fields.targets = try self.readStrings { $0.refuse(key) }
            case .payload: self.fields.payload = try Payload(messagePack: &self.reader)
            case .error:
                let error = try Payload(messagePack: &self.reader)
                self.fields.error = error.isAbsent || error == .null ? nil : error
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
