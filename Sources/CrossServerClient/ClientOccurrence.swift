import CrossServerWebSocket
import CrossServerWire
import NIOCore

/// Something that happened and that listeners may want to know.
enum ClientOccurrence: Sendable {
    case open
    /// With the number of the connection that has ended.
    case close(WebSocketClose, connection: UInt64)
    /// With the number of the last connection that was open.
    case error(any Error, connection: UInt64)
    /// A message; with an event if it holds one.
    case message(WebSocketMessage, event: ServerEvent?)
    case ping
    case pong(Duration)
    case pongTimeout
    case repeatLimit(Int)
    case reconnect(attempt: Int, delay: Duration)

    var bytes: Int {
        if case .message(let message, _) = self { message.payload.readableBytes } else { 0 }
    }

    /// Whether it may be left out when too much waits for slow listeners.
    var isExpendable: Bool {
        switch self {
        case .ping, .pong: true
        default: false
        }
    }

    var isMessage: Bool {
        if case .message = self { true } else { false }
    }
}

/// An event that the server has sent.
struct ServerEvent: Sendable {
    var name: String
    var payload: Payload
    /// Set when the server waits for the reply.
    var requestId: CallbackID?
    /// The number of the connection that it came over: the reply must go back over the same.
    var connection: UInt64
}

/// What the listener that runs hears of.
enum HandledConnection {
    /// The connection that has ended, while listeners of `close` and `error` run.
    @TaskLocal static var number: UInt64?
}
