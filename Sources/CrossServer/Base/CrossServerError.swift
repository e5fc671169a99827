/// Why a call could not be carried out.
public struct CrossServerError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What went wrong. More codes may come.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        public let description: String

        /// A name or id is empty, is longer than ``Limits/maximumNameLength``, or has control characters.
        public static let invalidName = Code(description: "INVALID_NAME")
        /// No connection on this server holds the id.
        public static let unknownSocket = Code(description: "UNKNOWN_SOCKET")
        /// The connection has ended, or is about to.
        public static let socketClosed = Code(description: "SOCKET_CLOSED")
        /// The client is in ``Limits/maximumRoomsPerClient`` rooms already.
        public static let tooManyRooms = Code(description: "TOO_MANY_ROOMS")
        /// The client did not answer in time. Whether it handled the request is not known.
        public static let timeout = Code(description: "TIMEOUT")
        /// More messages wait for an event loop than ``Limits/maximumQueuedDeliveries``, or for the bus, for a client or
        /// for replies than their bounds allow; nothing was sent.
        public static let overloaded = Code(description: "OVERLOADED")
        /// The server runs already, or has run: an adapter runs once.
        public static let alreadyRun = Code(description: "ALREADY_RUN")
        /// The server could not listen at its address.
        public static let cannotListen = Code(description: "CANNOT_LISTEN")
        /// The server is stopping: it takes no new connections and asks its clients nothing.
        public static let stopping = Code(description: "STOPPING")
        /// No other server can be reached: there is no bus, or none of its links is usable.
        public static let busUnavailable = Code(description: "BUS_UNAVAILABLE")
        /// The server lives, and no link connects it with this one.
        public static let unreachable = Code(description: "UNREACHABLE")
        /// The message is longer than the bus allows.
        public static let messageTooLarge = Code(description: "MESSAGE_TOO_LARGE")
        /// A client with the id is connected to some server already, and ids are unique.
        public static let idTaken = Code(description: "ID_TAKEN")
        /// Another server of the cluster has this one's name.
        public static let nameTaken = Code(description: "NAME_TAKEN")
        /// An option of the configuration has a value that makes no sense, or a call needs another value of it.
        public static let invalidConfiguration = Code(description: "INVALID_CONFIGURATION")
    }

    public let code: Code
    /// What to do about it.
    public let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(self.code): \(self.message)" }
}
