import CrossServerWebSocket
public import CrossServerWire
import NIOCore

/// Answers one request of a client.
///
/// The client takes the first answer and ignores any other. A reply may be given later and from any thread; when the
/// client has gone meanwhile it is dropped.
public struct Reply: Sendable {
    let socket: ClientSocket
    let callbackId: CallbackID

    /// Answers with a payload. ``Payload/absent`` answers with none.
    public func callAsFunction(_ payload: Payload) {
        self.send(payload, error: nil)
    }

    /// Answers with a value as JSON.
    ///
    /// - Throws: `EncodingError` when it cannot be represented; nothing was sent then.
    public func callAsFunction(encoding value: some Encodable) throws {
        self.send(try Payload(encoding: value), error: nil)
    }

    /// Answers that the request failed.
    ///
    /// A client of the Node.js library would take that for success: it gets no answer, as from its own server, and its
    /// request ends with `CALLBACK_TIMEOUT`. Clients that understand failures say so: the callback ids of this
    /// library's begin with `~`.
    public func fail(_ failure: RequestFailure) {
        guard self.callbackId.understandsFailures else { return }
        self.send(failure.payload, error: failure.error)
    }

    private func send(_ payload: Payload, error: Payload?) {
        let size = ByteBuffer.replySize(payload, to: self.callbackId, error: error)
        self.socket.loop.reply(self.socket, payloadSize: size) { buffer in
            buffer.writeReply(payload, to: self.callbackId, error: error)
        }
    }
}
