import CrossServerBus
import CrossServerWire

extension WebSocketCrossServerAdapter.Configuration {
    /// - Throws: ``CrossServerError`` with `invalidConfiguration`, naming the option.
    func validate() throws(CrossServerError) {
        let limits = self.limits
        let counts: [(String, Int)] = [
            ("limits.maximumMessageSize", limits.maximumMessageSize),
            ("limits.maximumFragments", limits.maximumFragments),
            ("limits.maximumConnections", limits.maximumConnections),
            ("limits.maximumConnectionsPerAddress", limits.maximumConnectionsPerAddress ?? 1),
            ("limits.maximumHandshakeSize", limits.maximumHandshakeSize),
            ("limits.maximumMemory", limits.maximumMemory),
            ("limits.maximumRoomsPerClient", limits.maximumRoomsPerClient),
            ("limits.maximumNamespacesPerClient", limits.maximumNamespacesPerClient),
            ("limits.maximumNameLength", limits.maximumNameLength),
            ("limits.maximumQueuedMessages", limits.maximumQueuedMessages),
            ("limits.maximumQueuedBytes", limits.maximumQueuedBytes),
            ("limits.maximumReadAheadMessages", limits.maximumReadAheadMessages),
            ("limits.maximumReadAheadBytes", limits.maximumReadAheadBytes),
            ("limits.maximumLingeringClients", limits.maximumLingeringClients),
            ("limits.maximumConcurrentHandlersPerClient", limits.maximumConcurrentHandlersPerClient),
            ("limits.maximumOutstandingRequestsPerClient", limits.maximumOutstandingRequestsPerClient),
            ("limits.maximumQueuedDeliveries", limits.maximumQueuedDeliveries),
            ("limits.outbound.maximumWaitingBytes", limits.outbound.maximumWaitingBytes),
            ("shutdown.clientsPerSecond", self.shutdown.clientsPerSecond),
            ("backlog", Int(self.backlog)),
            ("cluster.maximumOutstandingRequests", self.cluster.maximumOutstandingRequests),
            ("cluster.maximumRunningHandlers", self.cluster.maximumRunningHandlers),
        ]
        for (name, value) in counts where value < 1 {
            throw CrossServerError(.invalidConfiguration, "\(name) must be at least 1, not \(value)")
        }
        let times: [(String, Duration)] = [
            ("pingInterval", self.pingInterval),
            ("backgroundTimeout", self.backgroundTimeout),
            ("limits.handshakeTimeout", limits.handshakeTimeout),
            ("limits.closeTimeout", limits.closeTimeout),
            ("limits.handlerEndTimeout", limits.handlerEndTimeout),
            ("limits.maximumPause", limits.maximumPause),
        ]
        for (name, value) in times where value <= .zero {
            throw CrossServerError(.invalidConfiguration, "\(name) must be longer than 0, not \(value)")
        }
        if let rate = limits.rate {
            let rates = [rate.messagesPerSecond ?? 1, rate.bytesPerSecond ?? 1, rate.burst]
            guard rates.allSatisfy({ $0 > 0 && $0.isFinite }) else {
                throw CrossServerError(.invalidConfiguration, "the values of limits.rate must be larger than 0")
            }
        }
        guard self.cluster.bridgePrefix != self.cluster.webSocketPrefix else {
            throw CrossServerError(
                .invalidConfiguration,
                "cluster.bridgePrefix and cluster.webSocketPrefix are the same"
            )
        }
        let prefixes = [self.cluster.bridgePrefix, self.cluster.webSocketPrefix]
        for channel in self.cluster.customChannels where prefixes.contains(where: { channel.hasPrefix($0) }) {
            throw CrossServerError(
                .invalidConfiguration,
                "cluster.customChannels: \(channel) begins with a prefix of the framework"
            )
        }
        guard self.cluster.roomChannelLinger >= .zero else {
            throw CrossServerError(.invalidConfiguration, "cluster.roomChannelLinger must not be less than 0")
        }
        if let path = self.path, !path.hasPrefix("/") {
            throw CrossServerError(.invalidConfiguration, "path must begin with /, not be \(LogText(path))")
        }
        if let origin = self.allowedOrigins.invalid {
            throw CrossServerError(
                .invalidConfiguration,
                "allowedOrigins: \(LogText(origin)) is neither an origin, as https://app.example.com, nor a host name"
            )
        }
        try self.validateNames()
    }

    private func validateNames() throws(CrossServerError) {
        for (name, value) in [
            ("cluster.bridgePrefix", self.cluster.bridgePrefix),
            ("cluster.webSocketPrefix", self.cluster.webSocketPrefix),
        ] {
            try Limits.checkName(value, name, maximumLength: 255)
        }
        for channel in self.cluster.customChannels {
            try Limits.checkName(channel, "name in cluster.customChannels", maximumLength: 65_535)
        }
        for namespace in self.cluster.presetRoomNamespaces {
            let maximum = self.limits.maximumNameLength
            try Limits.checkName(namespace, "name in cluster.presetRoomNamespaces", maximumLength: maximum)
        }
    }
}

extension WebSocketCrossServerAdapter {
    /// Checks all that the server was made with.
    ///
    /// - Throws: ``CrossServerError`` with `invalidConfiguration`, saying what is wrong.
    func validate() throws(CrossServerError) {
        try self.configuration.validate()
        if !self.serverName.isEmpty {
            // Others would not believe what a server with a longer name says about itself.
            try Limits.checkName(self.serverName, "serverName", maximumLength: Announcement.Limits.nameLength)
        } else if self.transport.bus != nil {
            throw CrossServerError(.invalidConfiguration, "a server with a bus needs a serverName")
        }
        switch self.listenAddress?.kind {
        case .host(let host, let port):
            guard 0...65_535 ~= port else {
                throw CrossServerError(.invalidConfiguration, "the port to listen at must be 0 to 65535, not \(port)")
            }
            try Limits.checkName(host, "host to listen at", maximumLength: 255)
        case .unixDomainSocket(let path):
            try Limits.checkName(path, "path to listen at", maximumLength: 65_535)
        case nil: break
        }
    }
}

extension Limits {
    /// - Throws: ``CrossServerError`` with `invalidConfiguration`.
    fileprivate static func checkName(
        _ name: String,
        _ what: String,
        maximumLength: Int
    ) throws(CrossServerError) {
        guard 1...maximumLength ~= name.utf8.count else {
            throw CrossServerError(
                .invalidConfiguration,
                "the \(what) must have 1 to \(maximumLength) bytes, not \(name.utf8.count)"
            )
        }
        if let character = name.firstControlCharacter {
            throw CrossServerError(
                .invalidConfiguration,
                "the \(what) must have no control characters, but has \(LogText("\(character)"))"
            )
        }
    }

    /// - Throws: ``CrossServerError`` with `invalidName`.
    func checkName(_ name: String, _ what: String) throws(CrossServerError) {
        let maximum = self.maximumNameLength
        guard 1...maximum ~= name.utf8.count else {
            throw CrossServerError(.invalidName, "the \(what) must have 1 to \(maximum) bytes, not \(name.utf8.count)")
        }
        if !self.allowsControlCharactersInNames, let character = name.firstControlCharacter {
            throw CrossServerError(
                .invalidName,
                "the \(what) must have no control characters, but has \(LogText("\(character)"))"
            )
        }
    }
}
