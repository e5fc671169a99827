import NIOCore

/// What a decoder has found of a message, in whatever order the keys came. Of a repeated key the last counts.
struct BusFields {
    var data = DataValue.missing
    var sender: String?
    var socketID: String?
    var socketIDs: [String]?
    var roomNamespace: String?
    var roomID: String?
    var excludedSocketIDs: [String]?
    /// The first key whose value has a wrong type.
    private(set) var wrongKey: String?

    enum DataValue {
        case missing
        case frame(ByteBuffer)
        case fields(DataFields)
    }

    struct DataFields {
        var event: String?
        var sender: String?
        var payload = Payload.absent
        var targets: [String]?
        var callbackID: String?
        var isCallback = false
        var error: Payload?
    }

    mutating func refuse(_ key: BusKey) {
        if self.wrongKey == nil { self.wrongKey = "\(key.name)" }
    }

    mutating func refuse(_ key: BusDataKey) {
        if self.wrongKey == nil { self.wrongKey = "data.\(key.name)" }
    }

    consuming func message() throws(BusMessageError) -> BusMessage {
        if let wrongKey = self.wrongKey { throw .wrongType(key: wrongKey) }
        switch self.data {
        case .missing: throw .missingKey("\(BusKey.data.name)")
        case .frame(let frame):
            guard let sender = self.sender else { throw .missingKey("\(BusKey.sender.name)") }
            return .clients(ClientMessage(frame: frame, sender: sender, scope: try self.scope()))
        case .fields(let fields): return try fields.message()
        }
    }

    private func scope() throws(BusMessageError) -> ClientMessage.Scope {
        if let namespace = self.roomNamespace {
            guard let id = self.roomID else { throw .missingKey("\(BusKey.roomID.name)") }
            return .room(namespace: namespace, id: id, excluding: self.excludedSocketIDs ?? [])
        }
        if let ids = self.socketIDs { return .sockets(ids) }
        if let id = self.socketID { return .socket(id) }
        // Not to everyone what was meant for the members of a room.
        if self.roomID != nil { throw .missingKey("\(BusKey.roomNamespace.name)") }
        return .everyone
    }
}

extension BusFields.DataFields {
    fileprivate func message() throws(BusMessageError) -> BusMessage {
        guard let event = self.event else { throw Self.missing(.event) }
        guard let sender = self.sender else { throw Self.missing(.sender) }
        guard self.isCallback, event == BusMessage.replyEvent else {
            return .event(
                CrossServerEvent(
                    event: event,
                    sender: sender,
                    payload: self.payload,
                    targets: self.targets ?? [],
                    callbackID: self.callbackID
                )
            )
        }
        guard let callbackID = self.callbackID else { throw Self.missing(.callbackID) }
        return .reply(
            CrossServerReply(sender: sender, callbackID: callbackID, payload: self.payload, error: self.error)
        )
    }

    private static func missing(_ key: BusDataKey) -> BusMessageError {
        .missingKey("data.\(key.name)")
    }
}
