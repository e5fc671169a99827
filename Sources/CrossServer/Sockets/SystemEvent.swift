public import CrossServerWebSocket
import CrossServerWire
public import NIOCore

/// An event of the server itself. No client can raise one: names that clients send are looked up elsewhere.
public struct SystemEvent<Arguments>: Sendable {
    let list: any WritableKeyPath<SystemListeners, ListenerList<Arguments>> & Sendable
}

extension SystemEvent where Arguments == (ClientSocket, UpgradeRequest) {
    /// A client has connected. Runs before any of its messages is handled, and up to the first asynchronous listener
    /// before the client learns that it is connected: whoever sees a client's `open` can reach it by the id that was bound
    /// here, and whose connection is terminated here has never seen it open. On a port that is shared with a web framework
    /// the client may learn it earlier.
    ///
    /// A listener that throws refuses the client: the connection is closed with 1011, or with what ``ConnectionRejection``
    /// says, the listeners behind it do not run, and none of the client's messages is handled. Neither is any when a
    /// listener closes the connection.
    public static var connection: Self { Self(list: \.connection) }
}

extension SystemEvent where Arguments == (ClientSocket, UpgradeRequest, CloseCode, String) {
    /// A client's connection has ended, with the code and reason. Runs after all its messages have been handled, and
    /// once for each `connection`. The client's id and rooms are still there and are removed afterwards. Asynchronous
    /// listeners of the client's other events that have not ended when the connection does are cancelled; those that do not
    /// end within ``Limits/handlerEndTimeout`` are not waited for any longer.
    public static var close: Self { Self(list: \.close) }
}

extension SystemEvent where Arguments == (ClientSocket, UpgradeRequest, any Error) {
    /// A client broke the protocol, or its connection failed. `close` follows.
    public static var error: Self { Self(list: \.error) }
}

extension SystemEvent where Arguments == (ClientSocket, UpgradeRequest, ByteBuffer) {
    /// A client has answered a ping of the protocol, with the ping's payload.
    public static var pong: Self { Self(list: \.pong) }
}

extension SystemEvent where Arguments == (ClientSocket, WebSocketMessage) {
    /// A client has sent a message, of whatever form. Runs after the listeners of the event that it may hold, and changes
    /// nothing of what happens without it: a request without a listener of its own fails, what is no event is counted.
    public static var message: Self { Self(list: \.message) }
}

extension SystemEvent where Arguments == ClientSocket {
    /// A client has sent the heartbeat text, which was answered.
    public static var clientPing: Self { Self(list: \.clientPing) }
}

extension SystemEvent where Arguments == any Error {
    /// The server could not listen. ``WebSocketCrossServerAdapter/run()`` throws the same error.
    public static var serverError: Self { Self(list: \.serverError) }
}

extension SystemEvent where Arguments == SocketAddress {
    /// The server accepts connections at the address.
    public static var listening: Self { Self(list: \.listening) }
}

extension SystemEvent where Arguments == Void {
    /// The server has stopped: all clients are gone.
    public static var serverClose: Self { Self(list: \.serverClose) }
}

/// The listeners of the system events.
struct SystemListeners: Sendable {
    var connection = ListenerList<(ClientSocket, UpgradeRequest)>()
    var close = ListenerList<(ClientSocket, UpgradeRequest, CloseCode, String)>()
    var error = ListenerList<(ClientSocket, UpgradeRequest, any Error)>()
    var pong = ListenerList<(ClientSocket, UpgradeRequest, ByteBuffer)>()
    var message = ListenerList<(ClientSocket, WebSocketMessage)>()
    var clientPing = ListenerList<ClientSocket>()
    var serverError = ListenerList<any Error>()
    var listening = ListenerList<SocketAddress>()
    var serverClose = ListenerList<Void>()

    mutating func removeSpent() {
        self.connection.removeSpent()
        self.close.removeSpent()
        self.error.removeSpent()
        self.pong.removeSpent()
        self.message.removeSpent()
        self.clientPing.removeSpent()
        self.serverError.removeSpent()
        self.listening.removeSpent()
        self.serverClose.removeSpent()
    }
}

/// A client's event with what its listeners get.
typealias ClientEventArguments = (ClientSocket, Payload, Reply?)

/// All listeners of an adapter.
struct Listeners: Sendable {
    var system = SystemListeners()
    var client: [String: ListenerList<ClientEventArguments>] = [:]

    mutating func add(_ listener: Listener<ClientEventArguments>, to event: String) {
        self.client[event, default: ListenerList()].add(listener)
    }

    mutating func remove(tag: String?, from event: String) {
        self.client[event]?.remove(tag: tag)
        self.dropIfEmpty(event)
    }

    mutating func removeSpent() {
        self.client = self.client.compactMapValues { list in
            var list = list
            list.removeSpent()
            return list.isEmpty ? nil : list
        }
        self.system.removeSpent()
    }

    private mutating func dropIfEmpty(_ event: String) {
        if self.client[event]?.isEmpty == true { self.client[event] = nil }
    }
}
