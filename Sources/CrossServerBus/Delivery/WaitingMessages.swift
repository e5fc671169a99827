import DequeModule
import NIOCore

/// The messages of one stream that wait for a link, oldest first; of those with one key only the newest.
struct WaitingMessages: Sendable {
    struct Message: Sendable {
        var bytes: ByteBuffer
        var since: Int64
        var id: UInt64
        /// A newer one with the same key takes its place.
        var key: String?
    }

    /// Nil where a newer one has come; never at the beginning.
    private var messages = Deque<Message?>()
    /// The place of the newest message with a key, among all that there were.
    private var places: [String: Int] = [:]
    private var firstPlace = 0
    private var replacedCount = 0

    var isEmpty: Bool { self.messages.isEmpty }
    var first: Message? { self.messages.first ?? nil }
    var ids: [UInt64] { self.messages.compactMap { $0?.id } }

    /// The message whose place one with the key takes.
    func older(_ key: String) -> Message? {
        self.places[key].flatMap { self.messages[$0 - self.firstPlace] }
    }

    /// At the end, where it keeps the order to those without its key.
    mutating func append(_ message: Message) {
        if let key = message.key {
            if let older = self.places[key] {
                self.messages[older - self.firstPlace] = nil
                self.replacedCount += 1
            }
            self.places[key] = self.firstPlace + self.messages.count
        }
        self.messages.append(message)
        if self.replacedCount > 16, self.replacedCount > self.messages.count / 2 { self.compact() }
        self.trim()
    }

    mutating func removeFirst() {
        guard let first = self.messages.popFirst() else { return }
        self.firstPlace += 1
        if let key = first?.key { self.places[key] = nil }
        self.trim()
    }

    private mutating func trim() {
        while let first = self.messages.first, first == nil {
            self.messages.removeFirst()
            self.firstPlace += 1
            self.replacedCount -= 1
        }
    }

    private mutating func compact() {
        self.messages.removeAll { $0 == nil }
        self.replacedCount = 0
        for (index, message) in self.messages.enumerated() {
            if let key = message?.key { self.places[key] = self.firstPlace + index }
        }
    }
}
