/// What one server may cost another by asking for repeats: the whole history once, a quarter of it each second, and
/// 2,048 requests a second.
struct AnswerBudget: Sendable {
    /// One answer ends with the message that passes this.
    static let oneAnswer = 1 << 20
    /// So does a frame of it.
    static let oneFrame = 128 << 10
    static let requestsPerSecond: Int64 = 2_048

    /// May still be sent; below zero by one answer at most.
    var bytes: Int
    private var requests = Self.requestsPerSecond
    /// The sender's uptime when it was filled.
    private var filledAt: Int64

    init(historyBytes: Int, at uptime: Int64) {
        self.bytes = max(historyBytes, Self.oneAnswer)
        self.filledAt = uptime
    }

    /// - Parameter whole: what it is at most.
    /// - Returns: whether a request may be answered.
    mutating func admit(at uptime: Int64, _ whole: AnswerBudget) -> Bool {
        // A tenth of a second: shorter ones would be rounded away.
        let elapsed = uptime - self.filledAt
        if elapsed >= 100 {
            self.filledAt = uptime
            let milliseconds = min(elapsed, 60_000)
            self.bytes = min(self.bytes + whole.bytes / 4_000 * Int(milliseconds), whole.bytes)
            self.requests = min(self.requests + Self.requestsPerSecond * milliseconds / 1_000, whole.requests)
        }
        guard self.bytes > 0, self.requests > 0 else { return false }
        self.requests -= 1
        return true
    }
}

extension DeliveryFrame.Body {
    var isRequest: Bool {
        switch self {
        case .request, .requestSince, .requestHeads: true
        case .repetition, .heads, .acknowledge: false
        }
    }
}
