import CrossServerTesting
import Synchronization

/// What comes, in its order; waiting for something that does not come fails.
final class Inbox<Item: Sendable>: Sendable {
    private let items = Mutex<[Item]>([])

    func push(_ item: Item) { self.items.withLock { $0.append(item) } }

    var all: [Item] { self.items.withLock { $0 } }

    func next(within limit: Duration = .seconds(20)) async throws -> Item {
        var next: Item?
        try await eventually(within: limit) {
            next = self.items.withLock { $0.isEmpty ? nil : $0.removeFirst() }
            return next != nil
        }
        guard let next else { throw TestClientError.conditionNotMet }
        return next
    }
}
