import Testing

@testable import CrossServerBus

/// Which links messages take that servers of the original hear too.
@Suite struct OriginalServersTests {
    private static let links = DeliveryPair.links

    @Test(
        arguments: [
            ([:], nil), ([0: 0, 1: 0], nil), ([0: 2, 1: 2], nil), ([0: nil, 1: nil], nil), ([0: 1, 1: nil], nil),
            ([0: 1, 1: 0], [0]), ([0: 0, 1: 1], [1]), ([0: 2, 1: 1], [0]),
            // One that has not said yet may have none.
            ([1: 1], [1]), ([0: 0], nil),
            // A link that is not there any more.
            ([0: 0, 1: 1, 2: 5], [1]),
        ] as [([Int: Int?], [Int]?)]
    )
    func linksThatHaveThemAll(counts: [Int: Int?], expected: [Int]?) {
        let originals = Dictionary(uniqueKeysWithValues: counts.map { (BusLink(number: $0.key), $0.value) })
        #expect(Reach.links(of: originals, among: Self.links)?.map(\.number) == expected)
    }

    @Test func theSenderTakesThem() throws {
        var pair = DeliveryPair()
        #expect(try Self.links(of: &pair, originals: [1, 0], heard: Self.links) == [0])
        #expect(try Self.links(of: &pair, originals: [0, 1], heard: Self.links) == [1])
        #expect(try Self.links(of: &pair, originals: [1, 1], heard: Self.links) == [0])
        // Who of ours hears another link only has to get it there.
        #expect(try Self.links(of: &pair, originals: [0, 1], heard: [Self.links[0]]) == [0, 1])
        // What is for one of ours alone goes where it hears it.
        #expect(try pair.publish(9, to: "csbp:node:b:2", audience: 2).0.links == [Self.links[0]])
    }

    private static func links(of pair: inout DeliveryPair, originals: [Int], heard: [BusLink]) throws -> [Int] {
        var reach = Reach()
        reach.links = Self.links.map { Reach.Link(link: $0, provedAt: pair.now) }
        reach.servers[2] = Reach.Server(name: "b", links: heard)
        reach.originals = Dictionary(uniqueKeysWithValues: zip(Self.links, originals.map { .some($0) }))
        _ = pair.sender.update(reach, now: pair.now)
        return try pair.publish(1).0.links.map(\.number).sorted()
    }
}
