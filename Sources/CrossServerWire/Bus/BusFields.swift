import NIOCore

/// What a decoder has found of a message, in whatever order the keys came. Of a repeated key the last counts.
struct BusFields: ~Copyable {
    var data = DataKind.missing
    var sender: String?
    var socketID: String?
    var socketIDs: [String]?
    var roomNamespace: String?
    var roomID: String?
    var excludedSocketIDs: [String]?
    var route: ClientMessage.Route?

    /// `data` if it is a string.
    var frame = ByteBuffer()

    /// The members of `data` if it is a map.
    var event: String?
    var eventSender: String?
    var payload = Payload.absent
    var targets: [String]?
    var callbackID: String?
    var isCallback = false
    var error: Payload?

    /// The first key whose value has a wrong type.
    private var wrongKey: String?

    enum DataKind {
        case missing, string, map
    }

    /// Takes a map as the value of `data`.
    mutating func beginData() {
        if self.data == .map {
            self.event = nil
            self.eventSender = nil
            self.payload = .absent
            self.targets = nil
            self.callbackID = nil
            self.isCallback = false
            self.error = nil
        }
        self.data = .map
    }

    mutating func refuse(_ key: BusKey) {
        if self.wrongKey == nil { self.wrongKey = "\(key.name)" }
    }

    mutating func refuse(_ key: BusDataKey) {
        if self.wrongKey == nil { self.wrongKey = "data.\(key.name)" }
    }

    /// Whether the server does not handle this: what it has sent itself, and events for others.
    func isUnwanted(by server: String) -> Bool {
        guard self.data == .map, self.wrongKey == nil, let event = self.event, let sender = self.eventSender
        else { return false }
        if sender == server { return true }
        return (!self.isCallback || event != BusMessage.replyEvent) && self.isForOthers(than: server)
    }

    private func isForOthers(than server: String) -> Bool {
        guard let targets = self.targets else { return false }
        return !targets.isEmpty && !targets.contains(server)
    }

    consuming func message() throws(BusMessageError) -> BusMessage {
        if let wrongKey = self.wrongKey { throw .wrongType(key: wrongKey) }
        switch self.data {
        case .missing: throw Self.missing(.data)
        case .string:
            guard let sender = self.sender else { throw Self.missing(BusKey.sender) }
            let scope = try self.scope()
            return .clients(ClientMessage(frame: self.frame, sender: sender, scope: scope, route: self.route))
        case .map:
            // Taken, not copied: that would be a retain and a release for each.
            guard let event = self.event.take() else { throw Self.missing(.event) }
            guard let sender = self.eventSender.take() else { throw Self.missing(BusDataKey.sender) }
            guard self.isCallback, event == BusMessage.replyEvent else {
                return .event(
                    CrossServerEvent(
                        event: event,
                        sender: sender,
                        payload: self.payload,
                        targets: self.targets.take() ?? [],
                        callbackID: self.callbackID.take()
                    )
                )
            }
            guard let callbackID = self.callbackID.take() else { throw Self.missing(.callbackID) }
            return .reply(
                CrossServerReply(sender: sender, callbackID: callbackID, payload: self.payload, error: self.error)
            )
        }
    }

    private borrowing func scope() throws(BusMessageError) -> ClientMessage.Scope {
        if let namespace = self.roomNamespace {
            guard let id = self.roomID else { throw Self.missing(.roomID) }
            return .room(namespace: namespace, id: id, excluding: self.excludedSocketIDs ?? [])
        }
        if let ids = self.socketIDs { return .sockets(ids) }
        if let id = self.socketID { return .socket(id) }
        // Not to everyone what was meant for the members of a room.
        if self.roomID != nil { throw Self.missing(.roomNamespace) }
        return .everyone
    }

    private static func missing(_ key: BusKey) -> BusMessageError {
        .missingKey("\(key.name)")
    }

    private static func missing(_ key: BusDataKey) -> BusMessageError {
        .missingKey("data.\(key.name)")
    }
}
