/// Whether a peer takes what it is sent, from one look to the next.
struct OutboundProgress {
    /// All that was written for the peer so far, and what of it the peer has not taken, in bytes.
    struct State {
        var written: Int
        var waiting: Int
    }

    private var last = State(written: 0, waiting: 0)

    /// Remembers the state.
    ///
    /// - Returns: whether something waited at the last look, and the peer has taken some of it since. What the kernel of a
    ///   peer takes at once is no sign of life: nothing has waited then.
    mutating func hasAdvanced(to state: State) -> Bool {
        defer { self.last = state }
        return self.last.waiting > 0 && state.written - state.waiting > self.last.written - self.last.waiting
    }
}
