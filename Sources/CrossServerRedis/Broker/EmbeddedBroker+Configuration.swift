import CrossServerBus

extension EmbeddedBroker {
    /// How a broker listens, whom it lets in, and what a client may do.
    public struct Configuration: Sendable {
        /// The address or host name to listen on. `127.0.0.1` by default.
        ///
        /// Without a ``password`` clients from other machines are turned away whatever the address, as by Redis'
        /// protected mode.
        public var host = "127.0.0.1"

        /// 0 for one that the system chooses, nil for none. 6379 by default, as Redis has it.
        public var port: Int? = 6379

        /// A Unix domain socket to listen on too. None by default.
        public var unixDomainSocketPath: String?

        /// The only user. `default` by default: then the password alone is enough.
        public var username = "default"

        /// What clients have to send with AUTH or HELLO. None by default: every client is let in.
        public var password: String?

        public var limits = Limits()

        public init() {}
    }

    public struct Limits: Sendable {
        /// Connections at a time. 1,024 by default.
        public var maximumConnections = 1_024

        /// Channels that one client may subscribe to; a command that names more is refused as a whole. 131,072 by default.
        public var maximumChannels = 131_072

        /// Patterns that one client may subscribe to. Each message is compared with all patterns. 1,024 by default.
        public var maximumPatterns = 1_024

        /// Bytes of the name of a channel, or of a pattern. 1,024 by default.
        public var maximumChannelLength = 1_024

        /// Bytes of one message. 16 MiB by default.
        public var maximumMessageSize = 16 << 20

        /// Bytes that may wait for one client; it is disconnected when there are more. 32 MiB by default, as Redis has
        /// it for subscribers.
        public var maximumPendingBytes = 32 << 20

        /// Bytes that all clients together may hold: commands that are not all there, what waits for them, where a message of
        /// 4 KiB or more counts once for all, and their subscriptions. While there are more, the client that holds the most
        /// is disconnected. 256 MiB by default.
        public var maximumTotalBytes = 256 << 20

        /// How long a client may take to authenticate. Until then it can send short commands only. 10 seconds by default.
        public var authenticationTimeout = Duration.seconds(10)

        public init() {}
    }
}

extension EmbeddedBroker.Configuration {
    func validate() throws(BusError) {
        func require(_ condition: Bool, _ message: String) throws(BusError) {
            if !condition { throw BusError(.invalidConfiguration, message) }
        }
        try require(self.port != nil || self.unixDomainSocketPath != nil, "give a port or a Unix domain socket")
        try require(self.port.map { (0...65_535).contains($0) } ?? true, "port has to be 0 to 65535")
        try require(!self.username.isEmpty, "username is empty")
        try require(self.password != "", "password is empty; leave it out to let every client in")
        try require(self.username == "default" || self.password != nil, "a username needs a password")
        let limits = self.limits
        try require(limits.maximumConnections > 0, "maximumConnections has to be positive")
        try require(limits.maximumChannels >= 0, "maximumChannels is negative")
        try require(limits.maximumPatterns >= 0, "maximumPatterns is negative")
        try require(limits.maximumChannelLength > 0, "maximumChannelLength has to be positive")
        try require(limits.maximumMessageSize > 0, "maximumMessageSize has to be positive")
        let smallest = limits.maximumMessageSize + limits.maximumChannelLength + 1_024
        try require(limits.maximumPendingBytes >= smallest, "maximumPendingBytes has to be at least \(smallest)")
        try require(limits.maximumTotalBytes >= smallest, "maximumTotalBytes has to be at least \(smallest)")
        try require(limits.authenticationTimeout > .zero, "authenticationTimeout has to be positive")
    }
}
