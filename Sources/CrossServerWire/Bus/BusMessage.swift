public import NIOCore

/// How messages between nodes are written. Both are always understood.
public enum BusEncoding: Sendable, Hashable {
    /// The original's default.
    case messagePack
    /// What the original writes with `enableRedisDataCompression: false`.
    case json

    /// The encoding of a message: only a JSON object begins with `{`.
    package init(of message: ByteBuffer) {
        let first = message.getInteger(at: message.readerIndex, as: UInt8.self)
        self = first == UInt8(ascii: "{") ? .json : .messagePack
    }
}

/// What a node says to other nodes, in the maps of the Node original.
public enum BusMessage: Sendable, Equatable {
    /// An event between servers; with a callback id a request.
    case event(CrossServerEvent)
    /// The reply of one server to a request.
    case reply(CrossServerReply)
    /// A message for clients that are connected to other nodes.
    case clients(ClientMessage)

    /// The event of every reply, beside `isCallback`.
    static let replyEvent = "_Cs_Cb_"

    /// What a message in MessagePack ends with that has a number for its delivery: a key of one character, and the head of
    /// 21 bytes of binary data. Not part of any UTF-8 text.
    @inlinable package static var stampMark: UInt32 { 0xA1_7E_C4_15 }
    /// Key and value, in bytes.
    @inlinable package static var stampLength: Int { 25 }
}

/// An event that one server sends to others.
public struct CrossServerEvent: Sendable, Equatable {
    public var event: String
    /// The name of the sending server.
    public var sender: String
    public var payload: Payload
    /// The names of the servers that shall handle it; none stands for all.
    public var targets: [String]
    /// What the replies are to carry, if the sender waits for any.
    public var callbackID: String?

    public init(event: String, sender: String, payload: Payload, targets: [String] = [], callbackID: String? = nil) {
        self.event = event
        self.sender = sender
        self.payload = payload
        self.targets = targets
        self.callbackID = callbackID
    }
}

/// The reply of one server to a request.
public struct CrossServerReply: Sendable, Equatable {
    /// The name of the server that replies.
    public var sender: String
    /// The request's.
    public var callbackID: String
    public var payload: Payload
    /// When the request failed, an object with `code` and `message`, under a key that the original ignores.
    public var error: Payload?

    public init(sender: String, callbackID: String, payload: Payload, error: Payload? = nil) {
        self.sender = sender
        self.callbackID = callbackID
        self.payload = payload
        self.error = error
    }
}

/// A message for clients of other nodes.
public struct ClientMessage: Sendable, Equatable {
    /// The finished text message, UTF-8, to be sent unchanged. It is not checked to be JSON.
    public var frame: ByteBuffer
    /// The name of the sending server.
    public var sender: String
    public var scope: Scope
    /// How it travels, if the sender looks for the one server that holds the client, or what is done after it. Under a key
    /// that the original ignores.
    public var route: Route?

    public enum Scope: Sendable, Equatable {
        /// Every client.
        case everyone
        /// The client with the id.
        case socket(String)
        /// The clients with the ids.
        case sockets([String])
        /// The members of a room, but those with the ids in `excluding`.
        case room(namespace: String, id: String, excluding: [String])
    }

    /// Numbers are at most ``maximumNumber``.
    public enum Route: Sendable, Hashable {
        /// To all servers; the one that delivers it says so.
        case ask(UInt64)
        /// To the server that holds the client.
        case inbox(epoch: UInt64, number: UInt64)
        /// Back to the sender, without a frame: a message with the ask was delivered, to a client that has been connected
        /// for so many milliseconds.
        case delivered(ask: UInt64, connectedFor: UInt64)
        /// Back to the sender: this message was not delivered.
        case refused(epoch: UInt64, number: UInt64)
        /// To the members of a room, which is removed afterwards.
        case removingRoom

        /// What every JSON parser can hold.
        public static let maximumNumber: UInt64 = 1 << 53
    }

    public init(frame: ByteBuffer, sender: String, scope: Scope, route: Route? = nil) {
        self.frame = frame
        self.sender = sender
        self.scope = scope
        self.route = route
    }
}

/// Why bytes are no ``BusMessage``, or a message cannot be written.
public enum BusMessageError: Error, Hashable, Sendable, CustomStringConvertible {
    case invalidMessagePack(MessagePackError)
    case invalidJSON(JSONError)
    /// The message is valid, but no map.
    case notAMap
    /// The key is not there. Keys of the inner map are called `data.` and their name.
    case missingKey(String)
    /// The key's value has a type that the key cannot have.
    case wrongType(key: String)
    /// The payload cannot be written in this encoding.
    case invalidPayload(MessagePackError)

    public var description: String {
        switch self {
        case .invalidMessagePack(let error): error.description
        case .invalidJSON(let error): error.description
        case .notAMap: "the message is no map"
        case .missingKey(let key): "the message has no \(key)"
        case .wrongType(let key): "the message's \(key) has the wrong type"
        case .invalidPayload(let error): "the payload cannot be sent: \(error)"
        }
    }
}
