/// How an asynchronous listener runs that was registered with
/// ``WebSocketCrossServerAdapter/onWebSocketEvent(_:tag:options:_:)``.
public struct HandlerOptions: OptionSet, Sendable, Hashable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// The client's next message does not wait for the listener's end: for one that waits long, and after which nothing of
    /// what the client sends meanwhile has to come, as a request to another client. They start in the order of the
    /// messages; at most ``Limits/maximumConcurrentHandlersPerClient`` of one client run at the same time, and then its
    /// next message waits. Listeners of ``SystemEvent/close`` are never concurrent.
    public static let concurrent = HandlerOptions(rawValue: 1)

    /// The end of the connection does not cancel the listener: for one that has to be done once it was begun, as a purchase.
    /// The listeners of ``SystemEvent/close`` run after its end, but no later than ``Limits/handlerEndTimeout`` after
    /// that of the connection. A server that stops waits for it until ``WebSocketCrossServerAdapter/Shutdown/deadline``.
    public static let outlivesConnection = HandlerOptions(rawValue: 2)
}
