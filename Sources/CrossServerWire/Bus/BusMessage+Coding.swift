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
        try buffer.writeOutput(estimate: self.estimatedLength) { (output) throws(BusMessageError) in
            switch encoding {
            case .json: self.writeJSON(to: &output)
            case .messagePack:
                do throws(MessagePackError) {
                    try self.writeMessagePack(to: &output)
                } catch {
                    throw .invalidPayload(error)
                }
            }
        }
    }

    /// Enough for most messages in both encodings.
    private var estimatedLength: Int {
        switch self {
        case .event(let event): event.payload.buffer.readableBytes + 192
        case .reply(let reply): reply.payload.buffer.readableBytes + 192
        case .clients(let message): message.frame.readableBytes + message.frame.readableBytes / 4 + 192
        }
    }

    private func writeMessagePack(to output: inout OutputBytes) throws(MessagePackError) {
        switch self {
        case .event(let event):
            let count = 3 + (event.payload.isAbsent ? 0 : 1) + (event.callbackID == nil ? 0 : 1)
            output.writeMessagePackData(count)
            output.writeMessagePackMember(BusDataKey.event.name, event.event)
            output.writeMessagePackMember(BusDataKey.sender.name, event.sender)
            try output.writeMessagePackMember(BusDataKey.payload.name, event.payload)
            output.writeMessagePack(BusDataKey.targets.name)
            output.writeMessagePack(event.targets)
            if let callbackID = event.callbackID {
                output.writeMessagePackMember(BusDataKey.callbackID.name, callbackID)
            }
        case .reply(let reply):
            let error = reply.error ?? .absent
            output.writeMessagePackData(5 + (reply.payload.isAbsent ? 0 : 1) + (error.isAbsent ? 0 : 1))
            output.writeMessagePackMember(BusDataKey.event.name, Self.replyEvent)
            output.writeMessagePackMember(BusDataKey.sender.name, reply.sender)
            output.writeMessagePack(BusDataKey.targets.name)
            output.writeMessagePackArrayHead(0)
            output.writeMessagePackMember(BusDataKey.callbackID.name, reply.callbackID)
            output.writeMessagePack(BusDataKey.isCallback.name)
            output.writeMessagePack(true)
            try output.writeMessagePackMember(BusDataKey.payload.name, reply.payload)
            try output.writeMessagePackMember(BusDataKey.error.name, error)
        case .clients(let message): output.writeMessagePack(message)
        }
    }

    private func writeJSON(to output: inout OutputBytes) {
        switch self {
        case .event(let event):
            output.write("{\"data\":{")
            output.writeJSONMember(BusDataKey.event.name, event.event, isFirst: true)
            output.writeJSONMember(BusDataKey.sender.name, event.sender)
            output.writeJSONMember(BusDataKey.payload.name, event.payload)
            output.writeJSONKey(BusDataKey.targets.name)
            output.writeJSON(event.targets)
            if let callbackID = event.callbackID { output.writeJSONMember(BusDataKey.callbackID.name, callbackID) }
            output.write("}}")
        case .reply(let reply):
            output.write("{\"data\":{")
            output.writeJSONMember(BusDataKey.event.name, Self.replyEvent, isFirst: true)
            output.writeJSONMember(BusDataKey.sender.name, reply.sender)
            output.writeJSONKey(BusDataKey.targets.name)
            output.writeJSON([])
            output.writeJSONMember(BusDataKey.callbackID.name, reply.callbackID)
            output.writeJSONKey(BusDataKey.isCallback.name)
            output.write("true")
            output.writeJSONMember(BusDataKey.payload.name, reply.payload)
            output.writeJSONMember(BusDataKey.error.name, reply.error ?? .absent)
            output.write("}}")
        case .clients(let message): output.writeJSON(message)
        }
    }
}

extension OutputBytes {
    fileprivate mutating func writeMessagePackData(_ count: Int) {
        self.writeMessagePackMapHead(1)
        self.writeMessagePack(BusKey.data.name)
        self.writeMessagePackMapHead(count)
    }

    fileprivate mutating func writeMessagePackMember(_ key: StaticString, _ value: String) {
        self.writeMessagePack(key)
        self.writeMessagePack(value)
    }

    fileprivate mutating func writeMessagePackMember(
        _ key: StaticString,
        _ payload: Payload
    ) throws(MessagePackError) {
        if payload.isAbsent { return }
        self.writeMessagePack(key)
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
        self.write(message.frame)
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
        if !isFirst { self.write(UInt8(ascii: ",")) }
        self.write(UInt8(ascii: "\""))
        self.write(name)
        self.write("\":")
    }

    fileprivate mutating func writeJSONMember(_ key: StaticString, _ value: String, isFirst: Bool = false) {
        self.writeJSONKey(key, isFirst: isFirst)
        self.writeJSONString(value)
    }

    fileprivate mutating func writeJSONMember(_ key: StaticString, _ payload: Payload) {
        if payload.isAbsent { return }
        self.writeJSONKey(key)
        self.write(payload.buffer)
    }

    fileprivate mutating func writeJSON(_ strings: [String]) {
        self.write(UInt8(ascii: "["))
        for (index, string) in strings.enumerated() {
            if index > 0 { self.write(UInt8(ascii: ",")) }
            self.writeJSONString(string)
        }
        self.write(UInt8(ascii: "]"))
    }

    fileprivate mutating func writeJSON(_ message: ClientMessage) {
        self.write(UInt8(ascii: "{"))
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
        self.write(UInt8(ascii: "}"))
    }
}
