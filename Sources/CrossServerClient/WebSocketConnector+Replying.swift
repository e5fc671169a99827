import CrossServerWebSocket
public import CrossServerWire
import Logging
import NIOCore
import Synchronization

extension WebSocketConnector {
    /// Answers one request of the server.
    ///
    /// The server gets the first answer; any other does nothing. A reply may be given later and from any thread; when
    /// the connection that the request came over has ended meanwhile, it is dropped.
    public struct Reply: Sendable {
        private let request: ServerRequest

        init(_ request: ServerRequest) {
            self.request = request
        }

        /// Answers with a payload. ``CrossServerWire/Payload/absent`` answers with none.
        public func callAsFunction(_ payload: Payload) {
            self.request.answer(payload)
        }

        /// Answers with a value as JSON.
        ///
        /// - Throws: `EncodingError` when it cannot be represented; nothing was sent then.
        public func callAsFunction(encoding value: some Encodable) throws {
            self.request.answer(try Payload(encoding: value))
        }

        /// Answers that the request failed.
        public func fail(_ failure: RequestFailure) {
            self.request.answer(failure.payload, error: failure.error)
        }

        /// Keeps the end of the listeners from being an answer: this one may answer later.
        func keepOpen() {
            self.request.isKeptOpen.store(true, ordering: .relaxed)
        }
    }
}

/// A request of the server.
final class ServerRequest: Sendable {
    private let connector: WebSocketConnector
    private let id: CallbackID
    /// The number of the connection that it came over.
    private let connection: UInt64
    private let isAnswered = Atomic<Bool>(false)
    let isKeptOpen = Atomic<Bool>(false)

    init(_ id: CallbackID, connection: UInt64, connector: WebSocketConnector) {
        self.connector = connector
        self.id = id
        self.connection = connection
    }

    /// The end of the listeners is an answer too, unless one may answer later.
    func listenersEnded(_ reply: WebSocketConnector.Reply, _ failure: RequestFailure?) {
        if let failure {
            reply.fail(failure)
        } else if !self.isKeptOpen.load(ordering: .relaxed) {
            reply(.absent)
        }
    }

    func answer(_ payload: Payload, error: Payload? = nil) {
        guard !self.isAnswered.exchange(true, ordering: .relaxed) else { return }
        let size = payload.buffer.readableBytes + (error?.buffer.readableBytes ?? 0) + 128
        let message = EncodedMessage(kind: .text, payloadCapacity: size) { buffer in
            buffer.writeReply(payload, toRequest: self.id, error: error)
        }
        guard self.connector.gauge.admit(message.payloadSize) else {
            return self.connector.logger.warning("reply dropped: too much waits to be sent")
        }
        self.connector.onCore { [connection = self.connection] in $0.reply(message, over: connection) }
    }
}
