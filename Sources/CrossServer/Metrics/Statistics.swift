import CrossServerWebSocket
import Synchronization

extension WebSocketCrossServerAdapter {
    /// What a server holds now, and what it has counted since its start.
    public struct Statistics: Sendable, Hashable, Codable {
        /// Connections, from the accept until their `close` listeners have run and their handlers have ended, also those that
        /// have not shaken hands.
        public var connections: Int
        /// Of them: those that have ended while handlers of theirs run.
        public var lingeringClients: Int
        /// Connections that were not taken: over ``Limits/maximumConnections`` or
        /// ``Limits/maximumConnectionsPerAddress``, of an origin that is not in ``Configuration/allowedOrigins``, or for
        /// want of a file descriptor, where each attempt counts.
        public var connectionsRefused: Int
        /// Ids that are bound to a connection.
        public var boundIds: Int
        public var namespaces: Int
        public var rooms: Int
        public var messagesReceived: Int
        /// Messages handed to connections. One that went to a thousand clients counts a thousand times.
        public var messagesSent: Int
        /// Messages from clients that were no event.
        public var invalidMessages: Int
        /// Messages from clients over ``Limits/rate``.
        public var messagesOverRate: Int
        /// Messages to slow clients that ``Limits/outbound`` dropped.
        public var messagesDropped: Int
        /// Errors that handlers threw, other than ``RequestFailure`` in answer to a request.
        public var handlerFailures: Int
        /// Requests to clients that wait for a reply now.
        public var outstandingRequests: Int
        /// Replies of clients that came late, twice or to no request of theirs.
        public var repliesIgnored: Int
        /// What all connections hold now: see ``Limits/maximumMemory``.
        public var memory: Memory
        /// Connections that were closed because all together held too much.
        public var connectionsShed: Int
        /// What the server has counted of its talk with other servers.
        public var cluster: Cluster

        /// Bytes in memory, by what they are held for.
        public struct Memory: Sendable, Hashable, Codable {
            /// Read and not decoded yet, above all unfinished messages.
            public var received: Int
            /// Messages that wait for handlers, or that handlers have which have not ended.
            public var queued: Int
            /// Messages that wait to be sent.
            public var sending: Int
            /// The streams of permessage-deflate.
            public var compression: Int
        }

        /// The talk of one server with others since its start.
        public struct Cluster: Sendable, Hashable, Codable {
            /// Events and replies handed to the bus.
            public var messagesSent: Int
            /// Events of other servers for this one.
            public var eventsReceived: Int
            /// Messages of other servers for clients that may be connected to this one.
            public var clientMessagesReceived: Int
            /// Those of them that not every client got, because an event loop had too much to do.
            public var clientMessagesDropped: Int
            /// Requests that wait for replies now.
            public var outstandingRequests: Int
            /// Replies that came late, twice or from a server that was not asked.
            public var repliesIgnored: Int
            /// Messages of the bus that are not as they should be.
            public var invalidMessages: Int
            /// Events for which no asynchronous listener was started, because too many ran.
            public var handlersRefused: Int
            /// Replies that could not be sent, messages that waited in vain (``UnsentMessage``), and events that only some of
            /// the servers they were for have got (``UnreachedServer``).
            public var messagesNotSent: Int
            /// Errors that listeners of other servers' events threw.
            public var handlerFailures: Int
        }
    }
}
