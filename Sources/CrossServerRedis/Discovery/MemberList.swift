/// Addresses of which any one will do, and which one is next.
struct MemberList: Sendable, Equatable {
    private let seeds: [RedisAddress]
    private var members: [RedisAddress]
    private var index = 0

    /// - Parameter seeds: at least one. They stay on the list, whatever is learned.
    init(seeds: [RedisAddress]) {
        self.seeds = seeds
        self.members = seeds
    }

    var current: RedisAddress { self.members[self.index] }

    /// Goes on to the next address, unless another caller has done so.
    mutating func failed(_ address: RedisAddress) {
        guard self.current == address else { return }
        self.index = (self.index + 1) % self.members.count
    }

    /// The server at the current address knows these.
    mutating func learned(_ addresses: [RedisAddress]) {
        let current = self.current
        var members = self.seeds
        var known = Set(members)
        for address in addresses where known.insert(address).inserted { members.append(address) }
        self.members = members
        self.index = members.firstIndex(of: current) ?? 0
    }
}
