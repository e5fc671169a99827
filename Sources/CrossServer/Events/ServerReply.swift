import CrossServerBus
public import CrossServerWire
import Synchronization

/// Answers one request of another server, or of this one.
///
/// Only the first answer counts. It may be given later and from any thread.
public struct ServerReply: Sendable {
    /// Gets the answers to where the requests came from.
    protocol Answerer: Sendable {
        func answer(_ requester: Requester, _ payload: Payload, failure: RequestFailure?)
    }

    let answerer: any Answerer
    let requester: Requester
    private let isAnswered = Flag()

    enum Requester: Sendable {
        case local(UInt64)
        case remote(Remote)
    }

    /// Who asks, and how it hears the answer.
    struct Remote: Sendable {
        var server: String
        var callbackID: String
        /// A server of the original hears what it has asked for on the link on which it asked.
        var link: BusLink
        /// The request's: a server of the original understands no other.
        var encoding: BusEncoding
    }

    private final class Flag: Sendable {
        let isSet = Atomic(false)
    }

    init(_ answerer: some Answerer, _ requester: Requester) {
        self.answerer = answerer
        self.requester = requester
    }

    /// Answers with a payload. ``Payload/absent`` answers with none. A payload that cannot be sent is answered with the
    /// failure `INVALID_REPLY`.
    public func callAsFunction(_ payload: Payload) {
        self.send(payload, failure: nil)
    }

    /// Answers with a value as JSON.
    ///
    /// - Throws: `EncodingError` when it cannot be represented; nothing was sent then.
    public func callAsFunction(encoding value: some Encodable) throws {
        self.send(try Payload(encoding: value), failure: nil)
    }

    /// Answers that the request failed. An original server gets the payload `{"error": message}`.
    public func fail(_ failure: RequestFailure) {
        self.send(["error": Payload(failure.message)], failure: failure)
    }

    private func send(_ payload: Payload, failure: RequestFailure?) {
        guard !self.isAnswered.isSet.exchange(true, ordering: .acquiringAndReleasing) else { return }
        self.answerer.answer(self.requester, payload, failure: failure)
    }
}
