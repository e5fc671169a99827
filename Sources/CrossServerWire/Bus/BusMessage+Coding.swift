public import NIOCore

extension BusMessage {
    /// Decodes a message, MessagePack or JSON: the first byte tells which. Keys come in any order; unknown ones are
    /// ignored.
    ///
    /// Frames and JSON payloads are slices of the buffer and keep its memory.
    ///
    /// - Throws: ``BusMessageError``, also for payloads nested more than 512 deep.
    public init(decoding buffer: ByteBuffer) throws(BusMessageError) {
        // Without a server there is nothing that it does not handle.
        guard let message = try Self.decode(buffer, for: nil) else { throw .notAMap }
        self = message
    }

    /// Decodes a message as ``init(decoding:)`` does, unless the server does not handle it: what it has sent itself, and
    /// events for others. Such a message is read no further than it takes to know that.
    ///
    /// - Returns: nil for such a message.
    public init?(decoding buffer: ByteBuffer, for server: String) throws(BusMessageError) {
        guard let message = try Self.decode(buffer, for: server) else { return nil }
        self = message
    }

    private static func decode(_ buffer: ByteBuffer, for server: String?) throws(BusMessageError) -> BusMessage? {
        switch BusEncoding(of: buffer) {
        case .json: try BusMessageJSONDecoder.decode(buffer, for: server)
        case .messagePack: try BusMessageMessagePackDecoder.decode(buffer, for: server)
        }
    }

    /// Writes the message at the end of a buffer.
    ///
    /// - Throws: ``BusMessageError`` with `invalidPayload` when the payload has what MessagePack cannot hold (JSON can
    ///   hold all payloads). The buffer then ends where it ended before.
    public func write(into buffer: inout ByteBuffer, as encoding: BusEncoding) throws(BusMessageError) {
        // One switch: each copies what is in the case.
        switch self {
        case .event(let event): try event.write(into: &buffer, as: encoding)
        case .reply(let reply): try reply.write(into: &buffer, as: encoding)
        case .clients(let message): try message.write(into: &buffer, as: encoding)
        }
    }
}

/// What can be written as a ``BusMessage``. To make one of it first would copy it.
package protocol BusWritable: Sendable {
    /// As ``BusMessage/write(into:as:)``.
    func write(into buffer: inout ByteBuffer, as encoding: BusEncoding) throws(BusMessageError)
}

extension BusMessage: BusWritable {}

private protocol BusEncodable: BusWritable {
    /// Enough for most messages in both encodings.
    var estimatedLength: Int { get }
    func writeJSON(to output: inout OutputBytes)
    func writeMessagePack(to output: inout OutputBytes) throws(MessagePackError)
}

extension BusEncodable {
    package func write(into buffer: inout ByteBuffer, as encoding: BusEncoding) throws(BusMessageError) {
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
}

extension CrossServerEvent: BusEncodable {
    fileprivate var estimatedLength: Int { self.payload.buffer.readableBytes + 192 }

    fileprivate func writeMessagePack(to output: inout OutputBytes) throws(MessagePackError) {
        let count = 3 + (self.payload.isAbsent ? 0 : 1) + (self.callbackID == nil ? 0 : 1)
        output.writeMessagePackData(count)
        output.writeMessagePackMember(BusDataKey.event.name, self.event)
        output.writeMessagePackMember(BusDataKey.sender.name, self.sender)
        try output.writeMessagePackMember(BusDataKey.payload.name, self.payload)
        output.writeMessagePack(BusDataKey.targets.name)
        output.writeMessagePack(self.targets)
        if let callbackID = self.callbackID {
            output.writeMessagePackMember(BusDataKey.callbackID.name, callbackID)
        }
    }

    fileprivate func writeJSON(to output: inout OutputBytes) {
        output.write("{\"data\":{")
        output.writeJSONMember(BusDataKey.event.name, self.event, isFirst: true)
        output.writeJSONMember(BusDataKey.sender.name, self.sender)
        output.writeJSONMember(BusDataKey.payload.name, self.payload)
        output.writeJSONKey(BusDataKey.targets.name)
        output.writeJSON(self.targets)
        if let callbackID = self.callbackID { output.writeJSONMember(BusDataKey.callbackID.name, callbackID) }
        output.write("}}")
    }
}

extension CrossServerReply: BusEncodable {
    fileprivate var estimatedLength: Int { self.payload.buffer.readableBytes + 192 }

    fileprivate func writeMessagePack(to output: inout OutputBytes) throws(MessagePackError) {
        let error = self.error ?? .absent
        output.writeMessagePackData(5 + (self.payload.isAbsent ? 0 : 1) + (error.isAbsent ? 0 : 1))
        output.writeMessagePackMember(BusDataKey.event.name, BusMessage.replyEvent)
        output.writeMessagePackMember(BusDataKey.sender.name, self.sender)
        output.writeMessagePack(BusDataKey.targets.name)
        output.writeMessagePackArrayHead(0)
        output.writeMessagePackMember(BusDataKey.callbackID.name, self.callbackID)
        output.writeMessagePack(BusDataKey.isCallback.name)
        output.writeMessagePack(true)
        try output.writeMessagePackMember(BusDataKey.payload.name, self.payload)
        try output.writeMessagePackMember(BusDataKey.error.name, error)
    }

    fileprivate func writeJSON(to output: inout OutputBytes) {
        output.write("{\"data\":{")
        output.writeJSONMember(BusDataKey.event.name, BusMessage.replyEvent, isFirst: true)
        output.writeJSONMember(BusDataKey.sender.name, self.sender)
        output.writeJSONKey(BusDataKey.targets.name)
        output.writeJSON([])
        output.writeJSONMember(BusDataKey.callbackID.name, self.callbackID)
        output.writeJSONKey(BusDataKey.isCallback.name)
        output.write("true")
        output.writeJSONMember(BusDataKey.payload.name, self.payload)
        output.writeJSONMember(BusDataKey.error.name, self.error ?? .absent)
        output.write("}}")
    }
}

extension ClientMessage: BusEncodable {
    fileprivate var estimatedLength: Int { self.frame.readableBytes + self.frame.readableBytes / 4 + 192 }
    fileprivate func writeMessagePack(to output: inout OutputBytes) { output.writeMessagePack(self) }
    fileprivate func writeJSON(to output: inout OutputBytes) { output.writeJSON(self) }
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
        self.writeMessagePackMapHead(count + (message.route == nil ? 0 : 1))
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
        if let route = message.route {
            self.writeMessagePack(BusKey.route.name)
            self.writeMessagePack(route)
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
        if let route = message.route {
            self.writeJSONKey(BusKey.route.name)
            self.writeJSON(route)
        }
        self.write(UInt8(ascii: "}"))
    }
}
