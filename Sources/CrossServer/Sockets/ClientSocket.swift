public import CrossServerWebSocket
public import CrossServerWire
public import NIOCore
import Synchronization

/// A client's connection on its server. May be used from any thread.
public final class ClientSocket: Sendable {
    /// What the client asked for when it connected, without the header fields of the handshake itself.
    public let request: UpgradeRequest
    /// The subprotocol that was agreed on, if any.
    public let subprotocol: String?

    let loop: LoopContext
    let admission: ConnectionTable.Admission
    /// Set while the connection is open. Read and written on `loop.eventLoop` only, which `loop.post` ensures.
    nonisolated(unsafe) var connection: ClientConnection?
    /// Called for each message for this connection alone that comes when another server has the client. Read and written
    /// on `loop.eventLoop` only, as `connection`.
    nonisolated(unsafe) private var missed: (@Sendable () -> Void)?

    private let state = Mutex(State())
    private let isEnded = Atomic<Bool>(false)

    private struct State {
        var id: String?
        var boundAt = NIODeadline.uptimeNanoseconds(0)
        var claim: UInt64?
        var values: [ObjectIdentifier: Entry] = [:]
        private var lastVersion: UInt64 = 0

        /// - Returns: the former value, which is the application's: it is let go of behind the lock.
        mutating func set(_ value: (any Sendable)?, for key: ObjectIdentifier) -> (any Sendable)? {
            self.lastVersion += 1
            let former = self.values[key]
            self.values[key] = value.map { Entry(value: $0, version: self.lastVersion) }
            return former?.value
        }
    }

    /// A value of the application, and which change has made it.
    private struct Entry {
        var value: any Sendable
        var version: UInt64
    }

    init(
        request: UpgradeRequest,
        subprotocol: String?,
        loop: LoopContext,
        admission: ConnectionTable.Admission
    ) {
        self.request = request
        self.subprotocol = subprotocol
        self.loop = loop
        self.admission = admission
    }

    /// The id that is bound to this connection: nil before
    /// ``WebSocketCrossServerAdapter/setUserSocket(_:_:)``, and again when another connection has taken the id over.
    public internal(set) var id: String? {
        get { self.state.withLock { $0.id } }
        set {
            self.state.withLock { state in
                state.id = newValue
                state.boundAt = .now()
                state.claim = nil
            }
        }
    }

    /// When the id was bound, or released.
    var boundAt: NIODeadline { self.state.withLock { $0.boundAt } }

    /// With which number this server has claimed the id, if ids are unique.
    var claim: UInt64? {
        get { self.state.withLock { $0.claim } }
        set { self.state.withLock { $0.claim = newValue } }
    }

    /// The client's address, or that of the proxy in front of it.
    public var remoteAddress: SocketAddress? { self.request.remoteAddress }

    /// Whether the connection has not ended yet.
    public var isOpen: Bool { !self.isEnded.load(ordering: .acquiring) }

    /// A value that the application keeps with the connection, such as the player behind it.
    ///
    /// It can be read and set. What depends on the value it had, as `+= 1` does, is for ``update(_:_:)``.
    public subscript<Key: ClientSocketKey>(key: Key.Type) -> Key.Value? {
        self.state.withLock { $0.values[ObjectIdentifier(key)]?.value as? Key.Value }
    }

    /// Sets a value that the application keeps with the connection.
    public subscript<Key: ClientSocketKey>(key: Key.Type, setting: Void = ()) -> Key.Value? {
        // To read and then set would lose what others set in between: so it does not compile.
        @available(*, unavailable, message: "use update(_:_:), which changes the value in one step")
        get { self[key] }
        set {
            let former = self.state.withLock { $0.set(newValue, for: ObjectIdentifier(key)) }
            withExtendedLifetime(former) {}
        }
    }

    /// Changes a value that the application keeps with the connection in one step: nobody changes it in between.
    ///
    /// ```swift
    /// socket.update(ScoreKey.self) { score in score = (score ?? 0) + 1 }
    /// ```
    ///
    /// - Parameter change: gets the value, nil when there is none, and may set it to nil. No lock is held meanwhile: when
    ///   somebody else has changed the value, the closure runs again, with the new value. It should do nothing else
    ///   than change it.
    /// - Returns: what the closure returns.
    @discardableResult
    public func update<Key: ClientSocketKey, Result>(
        _ key: Key.Type,
        _ change: (inout Key.Value?) throws -> Result
    ) rethrows -> Result {
        let identifier = ObjectIdentifier(key)
        while true {
            // Each turn but the last means that somebody else has got on.
            let (version, value) = self.state.withLock { state in
                let entry = state.values[identifier]
                return (entry?.version, entry?.value as? Key.Value)
            }
            var changed = value
            let result = try change(&changed)
            let new = changed
            let (isDone, former) = self.state.withLock { state -> (Bool, (any Sendable)?) in
                guard state.values[identifier]?.version == version else { return (false, nil) }
                return (true, state.set(new, for: identifier))
            }
            withExtendedLifetime(former) {}
            if isDone { return result }
        }
    }

    /// Sends an event to this client.
    ///
    /// - Throws: ``CrossServerError`` with `socketClosed` or `overloaded`.
    public func emit(_ event: String, _ payload: Payload = .absent) throws {
        try self.send(EncodedMessage(event: event, payload: payload))
    }

    /// Sends an event to this client.
    ///
    /// - Throws: `EncodingError`, or ``CrossServerError`` with `socketClosed` or `overloaded`.
    public func emit<E: Event>(_ event: E) throws {
        try self.send(EncodedMessage(event: E.name, payload: Payload(encoding: event)))
    }

    /// Sends a message as it is, without an envelope.
    ///
    /// - Throws: ``CrossServerError`` with `socketClosed` or `overloaded`.
    public func send(_ message: EncodedMessage) throws {
        guard self.isOpen else { throw CrossServerError.connectionEnded }
        guard self.post(message) else { throw CrossServerError.overloaded }
    }

    /// Closes the connection with a close handshake.
    ///
    /// - Parameters:
    ///   - code: ``CloseCode``, 1000 to 1014 or 3000 to 4999 as RFC 6455, section 7.4, allows; any other becomes 1000.
    ///   - reason: at most 123 bytes of UTF-8, the rest is cut. The code's standard reason when nil.
    public func close(_ code: CloseCode = .normalClosure, reason: String? = nil) {
        self.onConnection { $0.close(code, reason: reason ?? code.standardReason) }
    }

    /// Closes the connection, whose client is at another server now.
    func closeReplaced(missed: @escaping @Sendable () -> Void) {
        self.loop.post {
            self.missed = missed
            self.connection?.close(.replacedByAnotherLogin, reason: CloseCode.replacedByAnotherLogin.standardReason)
        }
    }

    /// On the loop.
    func deliver(_ message: EncodedMessage) {
        let result = self.connection?.transmit(message) ?? .closing
        if case .closing = result { self.missed?() }
    }

    /// Cuts the connection at once, without a close handshake.
    public func terminate() {
        self.onConnection { $0.terminate() }
    }

    /// The client has said that its application went to the background: unless ``enterForeground()`` is called in time,
    /// the connection is closed with 4003 after
    /// ``WebSocketCrossServerAdapter/Configuration/backgroundTimeout``.
    public func enterBackground() {
        self.onConnection { $0.isInBackground = true }
    }

    /// The client's application is in the foreground again.
    public func enterForeground() {
        self.onConnection { $0.isInBackground = false }
    }

    /// - Returns: false when the event loop has too much to do already.
    @discardableResult
    func post(_ message: EncodedMessage) -> Bool {
        self.loop.post(message, to: self)
    }

    func markEnded() {
        self.isEnded.store(true, ordering: .releasing)
    }

    func handlerFinished(_ number: Int) {
        if self.loop.takeTurn() {
            self.connection?.handlerFinished(number)
        } else {
            self.onConnection { $0.handlerFinished(number) }
        }
    }

    func onConnection(_ action: @escaping @Sendable (ClientConnection) -> Void) {
        self.loop.post {
            if let connection = self.connection { action(connection) }
        }
    }
}

extension ClientSocket: Hashable {
    public static func == (left: ClientSocket, right: ClientSocket) -> Bool { left === right }

    public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

extension ClientSocket: CustomStringConvertible {
    /// For logs: the id, if there is one, with control and format characters escaped, and the address.
    public var description: String {
        let address = self.remoteAddress?.endpoint ?? "unknown address"
        return self.id.map { "\(LogText($0)) \(address)" } ?? address
    }
}

/// Names a value that is kept with a ``ClientSocket``.
///
/// ```swift
/// enum PlayerKey: ClientSocketKey { typealias Value = Player }
/// socket[PlayerKey.self] = player
/// socket.update(PlayerKey.self) { $0?.score += 1 }
/// ```
public protocol ClientSocketKey {
    associatedtype Value: Sendable
}

extension EncodedMessage {
    /// The message of an event, encoded once for any number of clients.
    public init(event: String, payload: Payload) {
        let size = event.utf8.count + payload.buffer.readableBytes + 32
        self.init(kind: .text, payloadCapacity: size) { buffer in
            buffer.writeEnvelope(event: event, payload: payload)
        }
    }
}
