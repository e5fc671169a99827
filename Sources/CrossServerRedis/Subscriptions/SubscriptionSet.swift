import DequeModule

/// Which channels are wanted on one link, and which its connection has subscribed: two sets. After every change the
/// second follows the first, also through a lost connection.
struct SubscriptionSet {
    enum Command: Equatable {
        case subscribe([String])
        case unsubscribe([String])
        case ping
    }

    enum Event: Equatable {
        case none
        /// The channel is in force.
        case confirmed(String)
        /// The server refuses the channel. It is asked for again on the next connection, or by ``retryRefused()``.
        case refused(String, wasSubscribing: Bool, message: String)
        case pong
    }

    private struct Entry {
        var isWanted = false
        /// Whether the last command about it was SUBSCRIBE.
        var isAsked = false
        /// Commands about it that are not answered.
        var unanswered = 0
        /// Why the server does not subscribe it.
        var refusal: String?
        /// A command that names several channels is refused as a whole when one of them is; then each goes alone.
        var goesAlone = false
        var isDirty = false
        /// Whether the connection counts as usable only when this one is answered.
        var isInitial = false

        var isConfirmed: Bool { self.isAsked && self.unanswered == 0 && self.refusal == nil }
    }

    /// Channels in one command.
    let batchSize: Int
    private var entries: [String: Entry] = [:]
    /// Channels that are wanted and not in force, while there is a connection.
    private(set) var unconfirmed: Set<String> = []
    /// Channels whose connection state may have to follow.
    private var dirty: [String] = []
    private var commands: Deque<Command> = []
    /// Of the first command: how many of its channels were answered.
    private var answered = 0
    private var isConnected = false
    private var initial = 0

    init(batchSize: Int) {
        self.batchSize = batchSize
    }

    /// Whether all channels that were wanted when the connection was made are answered.
    var isComplete: Bool { self.isConnected && self.initial == 0 }

    func isConfirmed(_ channel: String) -> Bool {
        self.entries[channel]?.isConfirmed ?? false
    }

    func refusal(of channel: String) -> String? {
        self.entries[channel]?.refusal
    }

    mutating func want(_ channel: String) {
        self.change(channel) { $0.isWanted = true }
    }

    /// - Returns: whether it was wanted.
    @discardableResult
    mutating func release(_ channel: String) -> Bool {
        guard self.entries[channel]?.isWanted == true else { return false }
        self.change(channel) { entry in
            entry.isWanted = false
            entry.refusal = nil
        }
        self.countAnswer(channel)
        return true
    }

    mutating func connected() {
        self.isConnected = true
        self.initial = self.entries.count
        for channel in self.entries.keys { self.change(channel) { $0.isInitial = true } }
    }

    mutating func disconnected() {
        self.isConnected = false
        self.commands = []
        self.answered = 0
        self.dirty = []
        self.unconfirmed = []
        self.initial = 0
        self.entries = self.entries.compactMapValues { $0.isWanted ? Entry(isWanted: true) : nil }
    }

    mutating func retryRefused() {
        for (channel, entry) in self.entries where entry.refusal != nil && entry.isWanted && !entry.isAsked {
            self.change(channel) { $0.goesAlone = true }
        }
    }

    /// The commands that make the connection follow what is wanted. The caller sends them in this order.
    mutating func nextCommands() -> [Command] {
        guard self.isConnected, !self.dirty.isEmpty else { return [] }
        var subscribe: [String] = []
        var unsubscribe: [String] = []
        var alone: [Command] = []
        for channel in self.dirty {
            guard var entry = self.entries[channel] else { continue }
            entry.isDirty = false
            if entry.isWanted != entry.isAsked {
                entry.isAsked = entry.isWanted
                entry.unanswered += 1
                if !entry.isWanted {
                    unsubscribe.append(channel)
                } else if entry.goesAlone {
                    alone.append(.subscribe([channel]))
                } else {
                    subscribe.append(channel)
                }
            }
            self.entries[channel] = entry.isWanted || entry.unanswered > 0 ? entry : nil
            self.noteWhetherConfirmed(channel)
        }
        self.dirty = []
        // A channel is in one of them only, so their order is free.
        let next =
            self.batches(of: subscribe).map { Command.subscribe($0) } + alone
            + self.batches(of: unsubscribe).map { Command.unsubscribe($0) }
        self.commands.append(contentsOf: next)
        return next
    }

    mutating func pingSent() {
        self.commands.append(.ping)
    }

    /// The server answered one channel of a command, in the order in which they were sent.
    mutating func answered(_ channel: String, isSubscribe: Bool) throws(RedisFailure) -> Event {
        let channels: [String]
        switch self.commands.first {
        case .subscribe(let named) where isSubscribe: channels = named
        case .unsubscribe(let named) where !isSubscribe: channels = named
        default: throw RedisFailure(.protocolViolation, "an answer to no subscription")
        }
        guard channels[self.answered] == channel else {
            throw RedisFailure(.protocolViolation, "an answer to another subscription")
        }
        self.answered += 1
        if self.answered == channels.count {
            self.commands.removeFirst()
            self.answered = 0
        }
        self.settle(channel) { $0.refusal = nil }
        guard isSubscribe, self.isConfirmed(channel) else { return .none }
        self.countAnswer(channel)
        return .confirmed(channel)
    }

    mutating func pong() throws(RedisFailure) -> Event {
        guard self.commands.first == .ping else { throw RedisFailure(.protocolViolation, "an answer to no PING") }
        self.commands.removeFirst()
        return .pong
    }

    /// The server answered a whole command with an error.
    mutating func refused(_ message: String) throws(RedisFailure) -> [Event] {
        guard self.answered == 0, let command = self.commands.popFirst() else {
            throw RedisFailure(.protocolViolation, "the server says: \(message)")
        }
        if let failure = RedisFailure(notReady: message) { throw failure }
        switch command {
        case .ping:
            return [.pong]
        case .unsubscribe(let channels):
            for channel in channels { self.settle(channel) { _ in } }
            return channels.map { .refused($0, wasSubscribing: false, message: message) }
        case .subscribe(let channels) where channels.count > 1:
            for channel in channels {
                self.settle(channel) { entry in
                    // Commands that came after this one have the last word.
                    if entry.unanswered == 0 { entry.isAsked = false }
                    entry.goesAlone = true
                }
                self.change(channel) { _ in }
            }
            return []
        case .subscribe(let channels):
            var events: [Event] = []
            for channel in channels {
                var isNews = false
                self.settle(channel) { entry in
                    guard entry.unanswered == 0 else { return }
                    entry.isAsked = false
                    isNews = entry.isWanted && entry.refusal != message
                    entry.refusal = message
                }
                self.countAnswer(channel)
                if isNews { events.append(.refused(channel, wasSubscribing: true, message: message)) }
            }
            return events
        }
    }

    private func batches(of channels: [String]) -> [[String]] {
        stride(from: 0, to: channels.count, by: self.batchSize).map {
            Array(channels[$0..<min($0 + self.batchSize, channels.count)])
        }
    }

    private mutating func change(_ channel: String, _ body: (inout Entry) -> Void) {
        var entry = self.entries[channel] ?? Entry()
        body(&entry)
        if self.isConnected, !entry.isDirty, entry.isWanted != entry.isAsked {
            entry.isDirty = true
            self.dirty.append(channel)
        }
        let isNeeded = entry.isWanted || entry.isAsked || entry.unanswered > 0 || entry.isDirty
        self.entries[channel] = isNeeded ? entry : nil
        self.noteWhetherConfirmed(channel)
    }

    /// One command about the channel is answered.
    private mutating func settle(_ channel: String, _ body: (inout Entry) -> Void) {
        guard var entry = self.entries[channel] else { return }
        entry.unanswered -= 1
        body(&entry)
        let isNeeded = entry.isWanted || entry.isAsked || entry.unanswered > 0 || entry.isDirty
        self.entries[channel] = isNeeded ? entry : nil
        self.noteWhetherConfirmed(channel)
    }

    private mutating func noteWhetherConfirmed(_ channel: String) {
        if self.isConnected, let entry = self.entries[channel], entry.isWanted, !entry.isConfirmed {
            self.unconfirmed.insert(channel)
        } else if !self.unconfirmed.isEmpty {
            self.unconfirmed.remove(channel)
        }
    }

    private mutating func countAnswer(_ channel: String) {
        guard self.entries[channel]?.isInitial == true else { return }
        self.entries[channel]?.isInitial = false
        self.initial -= 1
    }
}
