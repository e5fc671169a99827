/// Whether a peer takes what it is sent, from one look to the next.
package struct OutboundProgress {
    /// All that was written for the peer so far, and what of it the peer has not taken, in bytes.
    package struct State {
        var written: Int
        package var waiting: Int

        package init(written: Int, waiting: Int) {
            self.written = written
            self.waiting = waiting
        }

        fileprivate var taken: Int { self.written - self.waiting }
    }

    private var last = State(written: 0, waiting: 0)

    package init() {}

    /// Remembers the state.
    ///
    /// - Returns: whether something waited at the last look, and the peer has taken some of it since. What the kernel of a
    ///   peer takes at once is no sign of life: nothing has waited then.
    mutating func hasAdvanced(to state: State) -> Bool {
        defer { self.last = state }
        return self.last.waiting > 0 && state.taken > self.last.taken
    }

    /// Remembers the state.
    ///
    /// - Returns: whether something waited at the last look, and the peer has taken none of it since.
    package mutating func isStalled(at state: State) -> Bool {
        defer { self.last = state }
        return self.last.waiting > 0 && state.waiting > 0 && state.taken <= self.last.taken
    }
}
