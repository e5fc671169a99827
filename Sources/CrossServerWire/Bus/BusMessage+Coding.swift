public import NIOCore

extension BusMessage {
    /// Decodes a message, MessagePack or JSON: the first byte tells which. Keys come in any order; unknown ones are
    /// ignored.
    ///
    /// Frames and JSON payloads are slices of the buffer and keep its memory.
    ///
    /// - Throws: ``BusMessageError``, also for payloads nested more than 512 deep.
    public init(decoding buffer: ByteBuffer) throws(BusMessageError) {
        if buffer.readableBytesView.first == UInt8(ascii: "{") {
            self = try BusMessageJSONDecoder.decode(buffer)
        } else {
            self = try BusMessageMessagePackDecoder.decode(buffer)
        }
    }

    /// Writes the message at the end of a buffer.
    ///
    /// - Throws: ``BusMessageError`` with `invalidPayload` when the payload has what MessagePack cannot hold (JSON can
    ///   hold all payloads). The buffer then ends where it ended before.
    public func write(into buffer: inout ByteBuffer, as encoding: BusEncoding) throws(BusMessageError) {
        switch encoding {
        case .json: self.writeJSON(into: &buffer)
        case .messagePack:
            let start = buffer.writerIndex
            do throws(MessagePackError) {
                try self.writeMessagePack(into: &buffer)
            } catch {
                buffer.moveWriterIndex(to: start)
                throw .invalidPayload(error)
            }
        }
    }

    private func writeMessagePack(into buffer: inout ByteBuffer) throws(MessagePackError) {
        switch self {
        case .event(let event):
            let count = 3 + (event.payload.isAbsent ? 0 : 1) + (event.callbackID == nil ? 0 : 1)
            buffer.writeMessagePackData(count)
            buffer.writeMessagePackMember(BusDataKey.event.name, event.event)
            buffer.writeMessagePackMember(BusDataKey.sender.name, event.sender)
            try buffer.writeMessagePackMember(event.payload)
            buffer.writeMessagePack(BusDataKey.targets.name)
            buffer.writeMessagePack(event.targets)
            if let callbackID = event.callbackID {
                buffer.writeMessagePackMember(BusDataKey.callbackID.name, callbackID)
            }
        case .reply(let reply):
            buffer.writeMessagePackData(5 + (reply.payload.isAbsent ? 0 : 1) + (reply.error == nil ? 0 : 1))
            buffer.writeMessagePackMember(BusDataKey.event.name, Self.replyEvent)
            buffer.writeMessagePackMember(BusDataKey.sender.name, reply.sender)
            buffer.writeMessagePack(BusDataKey.targets.name)
            buffer.writeMessagePackArrayHead(0)
            buffer.writeMessagePackMember(BusDataKey.callbackID.name, reply.callbackID)
            buffer.writeMessagePack(BusDataKey.isCallback.name)
            buffer.writeMessagePack(true)
            try buffer.writeMessagePackMember(reply.payload)
            if let error = reply.error {
                buffer.writeMessagePack(BusDataKey.error.name)
                try buffer.writeMessagePack(error)
            }
        case .clients(let message): buffer.writeMessagePack(message)
        }
    }

    private func writeJSON(into buffer: inout ByteBuffer) {
        switch self {
        case .event(let event):
            buffer.writeStaticString("{\"data\":{")
            buffer.writeJSONMember(BusDataKey.event.name, event.event, isFirst: true)
            buffer.writeJSONMember(BusDataKey.sender.name, event.sender)
            buffer.writeJSONMember(event.payload)
            buffer.writeJSONKey(BusDataKey.targets.name)
            buffer.writeJSON(event.targets)
            if let callbackID = event.callbackID { buffer.writeJSONMember(BusDataKey.callbackID.name, callbackID) }
            buffer.writeStaticString("}}")
        case .reply(let reply):
            buffer.writeStaticString("{\"data\":{")
            buffer.writeJSONMember(BusDataKey.event.name, Self.replyEvent, isFirst: true)
            buffer.writeJSONMember(BusDataKey.sender.name, reply.sender)
            buffer.writeJSONKey(BusDataKey.targets.name)
            buffer.writeJSON([])
            buffer.writeJSONMember(BusDataKey.callbackID.name, reply.callbackID)
            buffer.writeJSONKey(BusDataKey.isCallback.name)
            buffer.writeStaticString("true")
            buffer.writeJSONMember(reply.payload)
            if let error = reply.error {
                buffer.writeJSONKey(BusDataKey.error.name)
                buffer.writeImmutableBuffer(error.buffer)
            }
            buffer.writeStaticString("}}")
        case .clients(let message): buffer.writeJSON(message)
        }
    }
}

extension ByteBuffer {
    fileprivate mutating func writeMessagePackData(_ count: Int) {
        self.writeMessagePackMapHead(1)
        self.writeMessagePack(BusKey.data.name)
        self.writeMessagePackMapHead(count)
    }

    fileprivate mutating func writeMessagePackMember(_ key: StaticString, _ value: String) {
        self.writeMessagePack(key)
        self.writeMessagePack(value)
    }

    fileprivate mutating func writeMessagePackMember(_ payload: Payload) throws(MessagePackError) {
        if payload.isAbsent { return }
        self.writeMessagePack(BusDataKey.payload.name)
        try self.writeMessagePack(payload)
    }

    fileprivate mutating func writeMessagePack(_ strings: [String]) {
        self.writeMessagePackArrayHead(strings.count)
        for string in strings { self.writeMessagePack(string) }
    }

    fileprivate mutating func writeMessagePack(_ message: ClientMessage) {
        let count =
            switch message.scope {
            case .everyone: 2
            case .socket, .sockets: 3
            case .room: 5
            }
        self.writeMessagePackMapHead(count)
        self.writeMessagePack(BusKey.data.name)
        self.writeMessagePackStringHead(message.frame.readableBytes)
        self.writeImmutableBuffer(message.frame)
        var excluded: [String]?
        switch message.scope {
        case .everyone: break
        case .socket(let id): self.writeMessagePackMember(BusKey.socketID.name, id)
        case .sockets(let ids):
            self.writeMessagePack(BusKey.socketIDs.name)
            self.writeMessagePack(ids)
        case .room(let namespace, let id, let excluding):
            self.writeMessagePackMember(BusKey.roomNamespace.name, namespace)
            self.writeMessagePackMember(BusKey.roomID.name, id)
            excluded = excluding
        }
        self.writeMessagePackMember(BusKey.sender.name, message.sender)
        if let excluded {
            self.writeMessagePack(BusKey.excludedSocketIDs.name)
            self.writeMessagePack(excluded)
        }
    }

    fileprivate mutating func writeJSONKey(_ name: StaticString, isFirst: Bool = false) {
        if !isFirst { self.writeInteger(UInt8(ascii: ",")) }
        self.writeInteger(UInt8(ascii: "\""))
        self.writeStaticString(name)
        self.writeStaticString("\":")
    }

    fileprivate mutating func writeJSONMember(_ key: StaticString, _ value: String, isFirst: Bool = false) {
        self.writeJSONKey(key, isFirst: isFirst)
        self.writeJSONString(value)
    }

    fileprivate mutating func writeJSONMember(_ payload: Payload) {
        if payload.isAbsent { return }
        self.writeJSONKey(BusDataKey.payload.name)
        self.writeImmutableBuffer(payload.buffer)
    }

    fileprivate mutating func writeJSON(_ strings: [String]) {
        self.writeInteger(UInt8(ascii: "["))
        for (index, string) in strings.enumerated() {
            if index > 0 { self.writeInteger(UInt8(ascii: ",")) }
            self.writeJSONString(string)
        }
        self.writeInteger(UInt8(ascii: "]"))
    }

    fileprivate mutating func writeJSON(_ message: ClientMessage) {
        self.writeInteger(UInt8(ascii: "{"))
        self.writeJSONKey(BusKey.data.name, isFirst: true)
        message.frame.withUnsafeReadableBytes { self.writeJSONString(utf8: $0) }
        var excluded: [String]?
        switch message.scope {
        case .everyone: break
        case .socket(let id): self.writeJSONMember(BusKey.socketID.name, id)
        case .sockets(let ids):
            self.writeJSONKey(BusKey.socketIDs.name)
            self.writeJSON(ids)
        case .room(let namespace, let id, let excluding):
            self.writeJSONMember(BusKey.roomNamespace.name, namespace)
            self.writeJSONMember(BusKey.roomID.name, id)
            excluded = excluding
        }
        self.writeJSONMember(BusKey.sender.name, message.sender)
        if let excluded {
            self.writeJSONKey(BusKey.excludedSocketIDs.name)
            self.writeJSON(excluded)
        }
        self.writeInteger(UInt8(ascii: "}"))
    }
}
