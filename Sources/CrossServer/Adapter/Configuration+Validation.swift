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
            ("limits.maximumRoomsPerClient", limits.maximumRoomsPerClient),
            ("limits.maximumNameLength", limits.maximumNameLength),
            ("limits.maximumQueuedMessages", limits.maximumQueuedMessages),
            ("limits.maximumQueuedBytes", limits.maximumQueuedBytes),
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
        guard !self.cluster.bridgePrefix.isEmpty, !self.cluster.webSocketPrefix.isEmpty else {
            throw CrossServerError(.invalidConfiguration, "the prefixes of cluster must not be empty")
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
            throw CrossServerError(.invalidConfiguration, "path must begin with /, not be \(path)")
        }
    }
}

extension Limits {
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
