import NIOCore

/// Who has subscribed to which channels, or to which patterns.
struct BrokerSubscriptions {
    private(set) var subscribers: [ByteBuffer: [BrokerClient]] = [:]

    mutating func add(_ client: BrokerClient, to name: ByteBuffer) {
        self.subscribers[name, default: []].append(client)
    }

    mutating func remove(_ client: BrokerClient, from name: ByteBuffer) {
        guard let slot = self.subscribers.index(forKey: name),
            let index = self.subscribers.values[slot].firstIndex(where: { $0 === client })
        else { return }
        // Their order means nothing.
        self.subscribers.values[slot].swapAt(index, self.subscribers.values[slot].count - 1)
        self.subscribers.values[slot].removeLast()
        if self.subscribers.values[slot].isEmpty { self.subscribers.remove(at: slot) }
    }
}
