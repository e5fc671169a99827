import CrossServer
import NIOCore

/// What tells one message from another.
struct LoadStamp {
    /// From 0, of its kind.
    var number: Int
    /// By the clock that all processes of a machine have in common.
    var sentAt: NIODeadline

    init(number: Int, sentAt: NIODeadline) {
        self.number = number
        self.sentAt = sentAt
    }

    init?(_ payload: Payload) {
        guard let elements = payload.array, elements.count == 3, let number = Int(elements[0].json),
            let sentAt = UInt64(elements[1].json)
        else { return nil }
        self.number = number
        self.sentAt = .uptimeNanoseconds(sentAt)
    }

    func payload(_ filling: String) -> Payload {
        [Payload(self.number), Payload(Int(self.sentAt.uptimeNanoseconds)), Payload(filling)]
    }
}

/// What has come of one kind.
struct Count {
    /// Each message once.
    var received = 0
    var repeated = 0
    /// That came after one with a higher number.
    var disordered = 0
    /// The longest time that one was under way, in milliseconds.
    var latest = 0.0
    private var seen: [Bool] = []

    /// Messages that are missing before the last.
    var holes: Int { self.seen.count - self.received }

    mutating func add(_ stamp: LoadStamp) {
        let elapsed = Double((NIODeadline.now() - stamp.sentAt).nanoseconds) / 1e6
        self.latest = max(self.latest, elapsed)
        if stamp.number >= self.seen.count {
            while self.seen.count < stamp.number { self.seen.append(false) }
            self.seen.append(true)
            self.received += 1
        } else if self.seen[stamp.number] {
            self.repeated += 1
        } else {
            self.seen[stamp.number] = true
            self.received += 1
            self.disordered += 1
        }
    }
}
