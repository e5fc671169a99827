// What a message says of itself, anyone may have written. It is given on when it is the next one; but the position in a
// stream follows nothing else than the sender's own word: its answer, to the inbox of this server, with a token that is
// random and was sent to the inbox of the sender.
extension DeliveryReceiver {
    /// What the sender is asked about a stream.
    struct Inquiry: Sendable {
        /// In the requests; 0 when nothing is asked.
        var token: UInt64 = 0
        var tokenAt: Int64 = 0
        /// The highest number that was seen or told since there is the token: what the answer says may be older.
        var seen: UInt64 = 0
        /// What was known before a number came that is too high to be believed, or says that others before it are not used.
        var knownBefore: UInt64?
        /// The first and the last of the numbers that were given on, as it seems, before the sender used them.
        var positions: ClosedRange<UInt64>?

        var isOpen: Bool { self.knownBefore != nil || self.positions != nil }
    }

    /// Further than what is known, and to be asked about.
    private static let implausible: UInt64 = 2_048
    /// A token is sent for so long, and its answer may take as long.
    private static let tokenLasts: Int64 = 1_000_000_000

    /// A number of the stream was seen, or told.
    mutating func saw(_ number: UInt64, _ index: Int) {
        self.streams[index].known = max(self.streams[index].known, number)
        self.streams[index].inquiry.seen = max(self.streams[index].inquiry.seen, number)
    }

    /// Takes note of a number that is higher than it should be.
    ///
    /// - Parameter isFirst: whether the sender is said to have forgotten the stream, and to go on above its floor.
    /// - Returns: whether the sender is to be asked at once.
    mutating func doubtJump(_ index: Int, to number: UInt64, isFirst: Bool) -> Bool {
        let stream = self.streams[index]
        guard !stream.isPending, stream.inquiry.knownBefore == nil, number > stream.next else { return false }
        guard isFirst || number > max(stream.known, stream.next) + Self.implausible else { return false }
        self.streams[index].inquiry.knownBefore = max(stream.known, stream.next - 1)
        // An answer that is on its way knows nothing of this.
        self.streams[index].inquiry.token = 0
        return true
    }

    /// Takes note of a message that comes again by its number, but was sent after the last one that was given on.
    mutating func doubtPosition(_ index: Int, _ stamp: Stamp, _ time: Int64) {
        let stream = self.streams[index]
        guard !stream.isPending, stream.inquiry.positions == nil, stamp.number < stream.next else { return }
        let sent = self.peers[stream.peer].clock.time(ofUptime: stream.uptime) ?? time
        // Who has forged the last one may have put it into the future.
        guard stamp.uptime > stream.uptime || sent > time + Self.onceWithin else { return }
        self.streams[index].inquiry.positions = stamp.number...(stream.next - 1)
        self.streams[index].inquiry.token = 0
        self.arm(index, time)
    }

    /// - Returns: what the answer has to repeat.
    mutating func token(_ index: Int, _ time: Int64) -> UInt64 {
        let inquiry = self.streams[index].inquiry
        guard inquiry.token == 0 || time - inquiry.tokenAt > Self.tokenLasts else { return inquiry.token }
        self.streams[index].inquiry.token = self.random.next() | 1
        self.streams[index].inquiry.tokenAt = time
        self.streams[index].inquiry.seen = 0
        return self.streams[index].inquiry.token
    }

    /// Whether the sender itself says this.
    func isOwnWord(_ repetition: DeliveryFrame.Repetition, _ index: Int, _ time: Int64) -> Bool {
        let inquiry = self.streams[index].inquiry
        return inquiry.token != 0 && repetition.token == inquiry.token && time - inquiry.tokenAt <= 2 * Self.tokenLasts
    }

    /// Puts the stream right with the sender's own word.
    mutating func settle(_ repetition: DeliveryFrame.Repetition, _ index: Int) {
        self.dropAbove(repetition.last, index)
        let inquiry = self.streams[index].inquiry
        self.streams[index].inquiry.knownBefore = nil
        self.streams[index].inquiry.positions = nil
        if repetition.isLast { self.streams[index].inquiry.token = 0 }
        if let base = repetition.base {
            guard self.streams[index].isPending else { return }
            if repetition.gone > 0 { self.gap(index, first: nil, last: repetition.gone, .notKept) }
            return self.begin(index, at: base)
        }
        guard !self.streams[index].isPending else { return }
        if let positions = inquiry.positions, repetition.last < positions.upperBound {
            self.goBack(to: positions.lowerBound, last: repetition.last, index)
        }
        let stream = self.streams[index]
        if repetition.floor >= stream.next {
            // The sender had forgotten the stream, and goes on, or would, above its floor.
            self.giveUp(index, upTo: min(inquiry.knownBefore ?? stream.known, repetition.floor), .notKept)
            self.pass(index, to: repetition.floor + 1)
            self.drain(index)
        } else if repetition.gone >= stream.next {
            self.giveUp(index, upTo: min(repetition.gone, stream.asked), .notKept)
        }
    }

    /// The sender had used no higher number when it answered: what came before it was asked, and has one, is not its.
    private mutating func dropAbove(_ last: UInt64, _ index: Int) {
        let highest = max(last, self.streams[index].inquiry.seen)
        guard self.streams[index].known > highest else { return }
        for number in Array(self.streams[index].held.keys) where number > highest { _ = self.release(number, index) }
        self.streams[index].known = max(highest, self.streams[index].next - 1)
    }

    /// What was given on under these numbers was not the sender's.
    private mutating func goBack(to number: UInt64, last: UInt64, _ index: Int) {
        guard number < self.streams[index].next else { return }
        let settled = self.settled(index)
        self.streams[index].notOwed = min(self.streams[index].notOwed, number - 1)
        self.streams[index].next = number
        self.streams[index].known = max(last, self.streams[index].inquiry.seen)
        self.streams[index].uptime = 0
        self.peers[self.streams[index].peer].ledger.owed += settled - self.settled(index)
    }

    /// What is known of the stream without what cannot be believed. For its end, when nobody is left to ask.
    mutating func endDoubts(_ index: Int) {
        let inquiry = self.streams[index].inquiry
        self.streams[index].inquiry = Inquiry()
        guard let known = inquiry.knownBefore else { return }
        let highest = self.streams[index].known
        for number in Array(self.streams[index].held.keys) where number > known { _ = self.release(number, index) }
        self.streams[index].known = known
        // Whether there were messages that far, nobody knows.
        self.gap(index, first: nil, last: highest, .ended)
    }
}
