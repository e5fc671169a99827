/// The members of a room on one event loop: an array whose copies share what has not changed since.
///
/// A broadcast keeps a copy until it has gone through it. Meanwhile a change copies the few nodes on the way to its place,
/// at most 64 elements of each, and not the room.
struct MemberList<Member: Sendable>: Sendable {
    private var root = MemberNode<Member>.leaf([])
    /// Levels above the leaves.
    private var height = 0
    private(set) var count = 0

    var isEmpty: Bool { self.count == 0 }

    private func capacity(_ height: Int) -> Int { 1 << (MemberNode<Member>.shift * (height + 1)) }

    subscript(index: Int) -> Member {
        get { self.root.member(at: index, self.height) }
        set { self.root.set(newValue, at: index, self.height) }
    }

    mutating func append(_ member: Member) {
        if self.count == self.capacity(self.height) {
            self.root = .branch([self.root])
            self.height += 1
        }
        self.root.append(member, at: self.count, self.height)
        self.count += 1
    }

    mutating func removeLast() {
        self.count -= 1
        _ = self.root.removeLast(at: self.count, self.height)
        if self.height > 0, self.count <= self.capacity(self.height - 1), case .branch(let nodes) = self.root {
            self.root = nodes[0]
            self.height -= 1
        }
    }

    /// Calls the closure with the members in pieces, in their order.
    @inline(__always)
    func forEachPiece(_ body: (ContiguousArray<Member>) -> Void) {
        if case .leaf(let members) = self.root { body(members) } else { self.root.forEachLeaf(body) }
    }
}

/// A tree of arrays, which are full but for those on the right edge.
private enum MemberNode<Member: Sendable>: Sendable {
    case leaf(ContiguousArray<Member>)
    case branch(ContiguousArray<MemberNode>)

    /// Elements of a node, as a power of two.
    static var shift: Int { 6 }

    private static func child(_ index: Int, _ height: Int) -> Int {
        index >> (self.shift * height) & (1 << self.shift - 1)
    }

    func member(at index: Int, _ height: Int) -> Member {
        switch self {
        case .leaf(let members): members[Self.child(index, 0)]
        case .branch(let nodes): nodes[Self.child(index, height)].member(at: index, height - 1)
        }
    }

    // In what follows an array is taken out while it changes: two references to it would make it be copied.

    mutating func set(_ member: Member, at index: Int, _ height: Int) {
        switch self {
        case .leaf(var members):
            self = .leaf([])
            members[Self.child(index, 0)] = member
            self = .leaf(members)
        case .branch(var nodes):
            self = .leaf([])
            nodes[Self.child(index, height)].set(member, at: index, height - 1)
            self = .branch(nodes)
        }
    }

    mutating func append(_ member: Member, at index: Int, _ height: Int) {
        switch self {
        case .leaf(var members):
            self = .leaf([])
            members.append(member)
            self = .leaf(members)
        case .branch(var nodes):
            self = .leaf([])
            let child = Self.child(index, height)
            if child == nodes.count { nodes.append(height == 1 ? .leaf([]) : .branch([])) }
            nodes[child].append(member, at: index, height - 1)
            self = .branch(nodes)
        }
    }

    /// - Returns: whether the node is empty now.
    mutating func removeLast(at index: Int, _ height: Int) -> Bool {
        switch self {
        case .leaf(var members):
            self = .leaf([])
            members.removeLast()
            self = .leaf(members)
            return members.isEmpty
        case .branch(var nodes):
            self = .leaf([])
            if nodes[Self.child(index, height)].removeLast(at: index, height - 1) { nodes.removeLast() }
            self = .branch(nodes)
            return nodes.isEmpty
        }
    }

    func forEachLeaf(_ body: (ContiguousArray<Member>) -> Void) {
        switch self {
        case .leaf(let members): body(members)
        case .branch(let nodes): for node in nodes { node.forEachLeaf(body) }
        }
    }
}
