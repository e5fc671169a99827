import NIOCore
import Testing

@testable import CrossServerBus
@testable import CrossServerBusTests

/// What a membership makes of what somebody says in the name of others who can publish and hears no inbox.
@Suite struct MembershipForgeryTests {
    private static let link = BusLink(number: 0)

    @Test func nobodyLeavesForAnother() {
        var cluster = MembershipCluster.pair()
        var forged = Announcement(.left, name: "b", incarnation: "b1", number: 1 << 39, uptime: 5_000)
        cluster.deliver(forged, .everyone, Self.link)
        forged.secret = "guessed"
        cluster.deliver(forged, .everyone, Self.link)
        cluster.run(.seconds(10))
        #expect(cluster.left(seenBy: "a1") == [])
        #expect(cluster.names(seenBy: "a1") == ["b/b1"])
    }

    @Test(arguments: [UInt64(4), 8, 1 << 39], [Int64(3_050), 5_000, 1 << 39])
    func whatIsSaidInItsNameIsPutRight(number: UInt64, uptime: Int64) {
        var cluster = MembershipCluster.pair()
        var forged = Announcement(.heartbeat, name: "b", incarnation: "b1", number: number, uptime: uptime)
        forged.interval = 60_000
        forged.role = number == 8 ? .observer : .server
        forged.isDraining = true
        let now = cluster.now
        let actions = cluster.members["a1"]?.received(forged, over: Self.link, now: now) ?? []
        cluster.perform(actions, of: "a1")
        cluster.run(.milliseconds(2_200))
        #expect(cluster.members["a1"]?.member(named: "b", now: cluster.now)?.isDraining == false)
        #expect(cluster.members["a1"]?.member(named: "b", now: cluster.now)?.isReachable == true)
        cluster.run(.seconds(10))
        #expect(cluster.left(seenBy: "a1") == [])
        #expect(cluster.names(seenBy: "a1") == ["b/b1"])
        // Its death is noticed as early as ever.
        let later = cluster.now
        cluster.perform(cluster.members["a1"]?.received(forged, over: Self.link, now: later) ?? [], of: "a1")
        cluster.kill("b1")
        cluster.run(.seconds(8))
        #expect(cluster.left(seenBy: "a1") == ["b/b1 died"])
    }

    @Test func whoHasDiedInAppearanceComesBack() {
        var cluster = MembershipCluster.pair()
        cluster.mute = ["b1/0", "b1/1"]
        cluster.run(.seconds(5))
        #expect(cluster.left(seenBy: "a1") == ["b/b1 died"])
        let forged = Announcement(.heartbeat, name: "b", incarnation: "b1", number: 1 << 39, uptime: 3_000)
        let now = cluster.now
        cluster.perform(cluster.members["a1"]?.received(forged, over: Self.link, now: now) ?? [], of: "a1")
        cluster.mute = []
        cluster.run(.seconds(2))
        #expect(cluster.names(seenBy: "a1") == ["b/b1"])
    }

    @Test func aNewServerIsSeenWhateverStrangersSay() {
        var cluster = MembershipCluster.pair()
        for number in 0..<5_000 {
            var heartbeat = Announcement(.heartbeat, name: "s\(number)", incarnation: "i\(number)", number: 1)
            heartbeat.interval = 60_000
            let now = cluster.now
            _ = cluster.members["a1"]?.received(heartbeat, over: Self.link, now: now)
        }
        #expect(cluster.members["a1"]?.overflows.candidates == 5_000 - 1_024)
        cluster.run(.milliseconds(100))
        cluster.start("c", "c1")
        cluster.run(.milliseconds(1_500))
        #expect(cluster.names(seenBy: "a1") == ["b/b1", "c/c1"])
        cluster.run(.seconds(5))
        #expect(cluster.members["a1"]?.peers.count == 2)
    }

    @Test func aWrongNameOrNumberKeepsNobodyAway() {
        var cluster = MembershipCluster()
        cluster.start("a", "a1")
        cluster.run(.seconds(1))
        let forged = Announcement(.heartbeat, name: "x", incarnation: "b1", number: 1 << 39, uptime: 1)
        cluster.deliver(forged, .everyone, Self.link)
        cluster.start("b", "b1")
        cluster.run(.milliseconds(1_500))
        #expect(cluster.names(seenBy: "a1") == ["b/b1"])
        var number = Announcement(.heartbeat, name: "c", incarnation: "c1", number: 1 << 39, uptime: 1)
        number.interval = 60_000
        cluster.deliver(number, .everyone, Self.link)
        cluster.start("c", "c1")
        cluster.run(.milliseconds(1_500))
        #expect(cluster.names(seenBy: "a1") == ["b/b1", "c/c1"])
    }

    @Test func questionsHaveABound() throws {
        var cluster = MembershipCluster.pair()
        let now = cluster.now
        var ask = try #require(cluster.members["b1"]).announcement(.ask, over: Self.link, now)
        ask.nonce = "n"
        let answers = (0..<5_000).reduce(0) { sum, _ in
            sum + (cluster.members["a1"]?.received(ask, over: Self.link, now: now).count ?? 0)
        }
        #expect(answers == 1_024)
        #expect(cluster.members["a1"]?.overflows.questions == 5_000 - 1_024)
    }

    @Test func rivalsThatDoNotAnswerHideNoOtherRival() {
        var cluster = MembershipCluster()
        cluster.start("b", "b1")
        cluster.run(.seconds(2))
        let older = cluster.members
        cluster.members = [:]
        cluster.start("b", "b2")
        cluster.members.merge(older) { $1 }
        for number in 0..<16 {
            let rival = Announcement(.heartbeat, name: "b", incarnation: "x\(number)", number: 1, uptime: 1)
            let now = cluster.now
            _ = cluster.members["b2"]?.received(rival, over: Self.link, now: now)
        }
        cluster.run(.seconds(3))
        #expect(cluster.nameTaken("b2") == "b1")
    }
}
