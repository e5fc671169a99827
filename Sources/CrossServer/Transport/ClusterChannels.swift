import CrossServerWire

/// The names of the channels on which servers talk to each other.
struct ClusterChannels: Sendable {
    let bridgePrefix: String
    let webSocketPrefix: String
    /// Carries events between servers, as in the original.
    let bridge: String
    /// Carries what servers say about themselves. The original does not hear it.
    let cluster: String
    /// Carries messages for every client, as in the original.
    let everyone: String
    /// Carries messages for single clients, as in the original.
    let clients: String
    let inboxPrefix: String
    private let presencePrefix: String
    private let countPrefix: String

    init(bridgePrefix: String, webSocketPrefix: String) {
        self.bridgePrefix = bridgePrefix
        self.webSocketPrefix = webSocketPrefix
        self.bridge = "\(bridgePrefix)server_bridge"
        self.cluster = "\(bridgePrefix)cluster"
        self.everyone = "\(webSocketPrefix)broadcast"
        self.clients = "\(webSocketPrefix)private_socket"
        self.inboxPrefix = "\(bridgePrefix)node:"
        self.presencePrefix = "\(bridgePrefix)presence:"
        self.countPrefix = "\(bridgePrefix)count:"
    }

    /// Carries what is meant for one server alone, in one of its lives: a server that is started again does not get
    /// its predecessor's messages.
    func inbox(of server: String, incarnation: some StringProtocol) -> String {
        "\(self.inboxPrefix)\(server):\(incarnation)"
    }

    /// Carries messages for the rooms of a namespace, as in the original: a namespace that begins with the prefix is the
    /// channel's name. But one that would be the channel of other messages gets a name of its own.
    func channel(ofNamespace namespace: String) -> String {
        let channel = namespace.hasPrefix(self.webSocketPrefix) ? namespace : "\(self.webSocketPrefix)\(namespace)"
        return channel == self.everyone || channel == self.clients ? "\(self.webSocketPrefix):\(namespace)" : channel
    }

    /// Carries messages for one room. The original does not hear it.
    func channel(of room: RoomName) -> String {
        "\(self.bridgePrefix)room:\(self.name(of: room))"
    }

    /// With the length, so that no other namespace and room have the same name together.
    private func name(of room: RoomName) -> String {
        "\(room.namespace.utf8.count):\(room.namespace):\(room.room)"
    }

    /// Carries changes in a room for the servers that watch it. The original does not hear it.
    func channel(of topic: PresenceTopic) -> String {
        "\(topic.isCountOnly ? self.countPrefix : self.presencePrefix)\(self.name(of: topic.room))"
    }

    func isPresence(_ channel: String) -> Bool {
        channel.hasPrefix(self.presencePrefix) || channel.hasPrefix(self.countPrefix)
    }

    /// Whether the name belongs to the framework.
    func isReserved(_ channel: String) -> Bool {
        channel.hasPrefix(self.bridgePrefix) || channel.hasPrefix(self.webSocketPrefix)
    }
}

/// The id of a request between servers: `~`, the sender's incarnation, `-` and a number in base 36.
///
/// The original's ids never begin with `~`. So a server knows by the id that the sender has an inbox and understands
/// failures.
struct RequestID: Equatable {
    var incarnation: Substring
    var number: UInt64

    static func string(incarnation: String, number: UInt64) -> String {
        "~\(incarnation)-\(String(number, radix: 36))"
    }

    /// - Returns: nil for an id of the original.
    init?(_ string: String) {
        guard string.utf8.first == UInt8(ascii: "~"), let dash = string.utf8.lastIndex(of: UInt8(ascii: "-"))
        else { return nil }
        guard let number = UInt64(string[string.utf8.index(after: dash)...], radix: 36) else { return nil }
        self.incarnation = string[string.utf8.index(after: string.startIndex)..<dash]
        self.number = number
    }
}

/// What is watched of a room. Each has a channel of its own, so that who wants a number does not get the ids.
struct PresenceTopic: Hashable, Sendable {
    var room: RoomName
    var isCountOnly: Bool
}
