/// A caller that waits until channels are subscribed on one link. Bound to the link's event loop.
final class SubscriptionWait {
    enum Outcome: Sendable {
        case confirmed
        case refused(channel: String, message: String)
        /// The link has no connection to subscribe on, or lost it.
        case unusable
        case timedOut
    }

    /// Channels that are not confirmed.
    var remaining = 0
    private var completion: ((Outcome) -> Void)?

    init(completion: @escaping (Outcome) -> Void) {
        self.completion = completion
    }

    var isFinished: Bool { self.completion == nil }

    func confirmed() {
        self.remaining -= 1
        if self.remaining == 0 { self.finish(.confirmed) }
    }

    func finish(_ outcome: Outcome) {
        self.completion?(outcome)
        self.completion = nil
    }
}
