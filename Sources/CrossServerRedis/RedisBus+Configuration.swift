import CrossServerBus

extension RedisBus {
    /// What a bus may do, and when it gives up.
    public struct Configuration: Sendable {
        /// Which of the usable nodes a message is published on. `random` by default.
        public var strategy = SelectionStrategy.random
        /// Stands in the reports. Empty by default: then it is the name of the server that uses the bus.
        public var serverName = ""
        /// Time between two probes of one connection. 5 s by default.
        public var probeInterval: Duration = .seconds(5)
        /// After this long without an answer to a probe, or anything else, a connection is out of use. 2 s by default. The one
        /// that publishes is given up. The one that subscribes is kept for what the server may still send on it, and given up
        /// when the server answers on a new one and not on this one for another 500 ms, or after 30 s.
        public var probeDeadline: Duration = .seconds(2)
        /// After this long without an answer to a publish its connection is given up; the outcome of all that was
        /// published on it and not answered is unknown. 2 s by default. On a slow network lower
        /// ``maximumBytesInFlight`` so that as much can be sent within that time.
        public var publishDeadline: Duration = .seconds(2)
        /// After this long without any answer, while one is owed, a node counts as stalled: messages to other servers take
        /// another one until it has proved that it carries them. 200 ms by default.
        public var stalledAfter: Duration = .milliseconds(200)
        /// Bytes that were published on one node and not answered, those that wait to be sent included. 16 MiB by
        /// default. A message that is longer than this is only sent alone.
        public var maximumBytesInFlight = 16 << 20
        /// Bytes of one message, sent or received. A longer one that comes is passed over, counted and logged; a connection
        /// that brings one of more than 512 MiB is given up. 16 MiB by default; Redis itself cuts subscribers that have more
        /// than 32 MB to read.
        public var maximumMessageSize = 16 << 20
        /// Wait after the first failure to connect; it grows by 3 % with each, each is shortened by up to a half at
        /// random, and ends early when another connection of the bus was made. 50 ms by default.
        public var reconnectInitialDelay: Duration = .milliseconds(50)
        /// Longest wait between two attempts. 500 ms by default. Raise it when so many servers share a Redis node that their
        /// attempts burden it.
        public var reconnectMaximumDelay: Duration = .milliseconds(500)
        /// Wait after name or password were refused, shortened in the same way. 5 s by default.
        public var authenticationRetryDelay: Duration = .seconds(5)
        /// Channels in one SUBSCRIBE command. 100 by default.
        public var subscriptionBatchSize = 100

        public init() {}

        func validate() throws(BusError) {
            let durations = [
                ("probeInterval", self.probeInterval), ("probeDeadline", self.probeDeadline),
                ("publishDeadline", self.publishDeadline), ("stalledAfter", self.stalledAfter),
                ("reconnectInitialDelay", self.reconnectInitialDelay),
                ("reconnectMaximumDelay", self.reconnectMaximumDelay),
                ("authenticationRetryDelay", self.authenticationRetryDelay),
            ]
            for (name, duration) in durations where duration <= .zero || duration > .seconds(86_400) {
                throw BusError(.invalidConfiguration, "\(name) must be longer than zero and at most a day")
            }
            let numbers = [
                ("maximumBytesInFlight", self.maximumBytesInFlight), ("maximumMessageSize", self.maximumMessageSize),
                ("subscriptionBatchSize", self.subscriptionBatchSize),
            ]
            for (name, number) in numbers where !(1...1 << 29 ~= number) {
                throw BusError(.invalidConfiguration, "\(name) must be between 1 and 536870912")
            }
        }
    }
}
