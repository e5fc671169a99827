public import CrossServerWebSocket
import CrossServerWire

/// An event of the connector itself. No server can raise one: names that servers send are looked up elsewhere.
public struct ClientEvent<Arguments>: Sendable {
    let list: any WritableKeyPath<ClientSystemListeners, ListenerList<Arguments>> & Sendable
}

extension ClientEvent where Arguments == Void {
    /// The connection is open: messages can be sent.
    public static var open: Self { Self(list: \.open) }
    /// A heartbeat was sent.
    public static var ping: Self { Self(list: \.ping) }
    /// A heartbeat was not answered in time. `close` with 4002 follows.
    public static var pongTimeout: Self { Self(list: \.pongTimeout) }
}

extension ClientEvent where Arguments == WebSocketClose {
    /// A connection that was open has ended; or ``WebSocketConnector/manualClose()`` has ended an attempt to connect,
    /// or the wait before one.
    ///
    /// The connector does not come back by itself, unless there was an error: call
    /// ``WebSocketConnector/reconnect(resetAttempts:)`` if ``CrossServerWire/CloseCode/allowsReconnect``. After 4011 (not
    /// authenticated) that takes the longest wait, unless it resets the attempts.
    public static var close: Self { Self(list: \.close) }
}

extension ClientEvent where Arguments == any Error {
    /// An attempt to connect has failed, the server broke the protocol, or the connection failed (`close` follows).
    ///
    /// The connector comes back by itself, with one exception: a ``WebSocketConnectorError`` with `authenticationFailed`
    /// needs another login first, and then ``WebSocketConnector/reconnect(resetAttempts:)``.
    public static var error: Self { Self(list: \.error) }
}

extension ClientEvent where Arguments == WebSocketMessage {
    /// A message of whatever form has come, but for the echo of a heartbeat. Runs after the listeners of the event
    /// that it may hold.
    public static var message: Self { Self(list: \.message) }
}

extension ClientEvent where Arguments == Duration {
    /// The server has answered a heartbeat, after the given time.
    public static var pong: Self { Self(list: \.pong) }
}

extension ClientEvent where Arguments == Int {
    /// As many attempts to connect again have failed as the configuration allows. Only
    /// ``WebSocketConnector/reconnect(resetAttempts:)`` with a reset begins anew; ``WebSocketConnector/manualClose()`` ends
    /// ``WebSocketConnector/run()``.
    public static var repeatLimit: Self { Self(list: \.repeatLimit) }
}

extension ClientEvent where Arguments == (attempt: Int, delay: Duration) {
    /// The connector will try to connect again: which attempt, from 1, and after which time.
    public static var reconnect: Self { Self(list: \.reconnect) }
}

/// The listeners of a connector's own events.
struct ClientSystemListeners: Sendable {
    var open = ListenerList<Void>()
    var close = ListenerList<WebSocketClose>()
    var error = ListenerList<any Error>()
    var message = ListenerList<WebSocketMessage>()
    var ping = ListenerList<Void>()
    var pong = ListenerList<Duration>()
    var pongTimeout = ListenerList<Void>()
    var repeatLimit = ListenerList<Int>()
    var reconnect = ListenerList<(attempt: Int, delay: Duration)>()

    mutating func removeSpent() {
        self.open.removeSpent()
        self.close.removeSpent()
        self.error.removeSpent()
        self.message.removeSpent()
        self.ping.removeSpent()
        self.pong.removeSpent()
        self.pongTimeout.removeSpent()
        self.repeatLimit.removeSpent()
        self.reconnect.removeSpent()
    }
}

/// The payload of a server's event, and the reply if the server asks for one.
typealias ServerEventArguments = (Payload, WebSocketConnector.Reply?)

/// All listeners of a connector.
struct ClientListeners: Sendable {
    var system = ClientSystemListeners()
    private(set) var events: [String: ListenerList<ServerEventArguments>] = [:]

    func list(of event: String) -> ListenerList<ServerEventArguments> {
        self.events[event] ?? ListenerList()
    }

    mutating func add(_ listener: Listener<ServerEventArguments>, to event: String) {
        self.events[event, default: ListenerList()].add(listener)
    }

    mutating func remove(tag: String?, from event: String) {
        self.events[event]?.remove(tag: tag)
        if self.events[event]?.isEmpty == true { self.events[event] = nil }
    }

    mutating func removeSpent() {
        self.events = self.events.compactMapValues { list in
            var list = list
            list.removeSpent()
            return list.isEmpty ? nil : list
        }
        self.system.removeSpent()
    }
}
