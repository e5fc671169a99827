import CrossServerWire
import NIOCore
import Testing

@testable import CrossServerBus

@Suite struct MembershipTests {
    @Test func serversFindEachOtherAtOnce() {
        var cluster = MembershipCluster()
        cluster.start("a", "a1")
        cluster.run(.seconds(5))
        cluster.start("b", "b1")
        cluster.run(.milliseconds(500))
        #expect(cluster.names(seenBy: "a1") == ["b/b1"])
        #expect(cluster.names(seenBy: "b1") == ["a/a1"])
        let uptime = cluster.members["b1"]?.members(now: cluster.now).first?.uptime
        #expect(uptime == .milliseconds(5_500))
    }

    @Test func loadAndDrainingAreTold() {
        var cluster = MembershipCluster()
        cluster.start("a", "a1")
        cluster.start("b", "b1")
        cluster.members["b1"]?.update(connections: 12, rooms: 3)
        cluster.run(.seconds(2))
        let now = cluster.now
        cluster.perform(cluster.members["b1"]?.setDraining(true, now: now) ?? [], of: "b1")
        let member = cluster.members["a1"]?.member(named: "b", now: now)
        #expect(member?.connections == 12)
        #expect(member?.rooms == 3)
        #expect(member?.isDraining == true)
        #expect(member?.links == ["redis0", "redis1"])
        #expect(member?.isReachable == true)
    }

    @Test func aSilentServerDies() {
        var cluster = MembershipCluster()
        cluster.start("a", "a1")
        cluster.start("b", "b1")
        cluster.run(.seconds(2))
        cluster.kill("b1")
        cluster.run(.seconds(2))
        #expect(cluster.names(seenBy: "a1") == ["b/b1"])
        cluster.run(.seconds(2))
        #expect(cluster.names(seenBy: "a1") == [])
        #expect(cluster.left(seenBy: "a1") == ["b/b1 died"])
    }

    @Test func aServerThatStopsIsGoneAtOnce() {
        var cluster = MembershipCluster()
        cluster.start("a", "a1")
        cluster.start("b", "b1")
        cluster.run(.seconds(2))
        let now = cluster.now
        cluster.perform(cluster.members["b1"]?.leave(now: now) ?? [], of: "b1")
        #expect(cluster.left(seenBy: "a1") == ["b/b1 stopped"])
        cluster.run(.seconds(10))
        #expect(cluster.left(seenBy: "a1") == ["b/b1 stopped"])
    }

    @Test func aServerIsReplacedAfterAnUncleanRestart() {
        var cluster = MembershipCluster()
        cluster.start("a", "a1")
        cluster.start("b", "b1")
        cluster.run(.seconds(2))
        cluster.kill("b1")
        cluster.start("b", "b2")
        cluster.run(.milliseconds(1_500))
        #expect(cluster.names(seenBy: "a1") == ["b/b2"])
        #expect(cluster.left(seenBy: "a1") == ["b/b1 replaced"])
    }

    @Test(arguments: [("b1", "b2"), ("b2", "b1")])
    func theOlderLifeKeepsTheName(older: String, newer: String) {
        var cluster = MembershipCluster()
        cluster.start("a", "a1")
        cluster.start("b", older)
        cluster.run(.seconds(2))
        cluster.start("b", newer)
        cluster.run(.seconds(1))
        #expect(cluster.nameTaken(newer) == older)
        #expect(cluster.nameTaken(older) == nil)
        #expect(cluster.left(seenBy: "a1") == [])
        cluster.run(.seconds(10))
        #expect(cluster.names(seenBy: "a1") == ["b/\(older)"])
    }

    @Test func ofTwoThatStartAtTheSameMomentOneStays() {
        var cluster = MembershipCluster()
        cluster.keepsHeartbeats = true
        cluster.start("b", "b1")
        cluster.start("b", "b2")
        cluster.keepsHeartbeats = false
        for (announcement, destination, link) in cluster.kept { cluster.deliver(announcement, destination, link) }
        cluster.run(.seconds(3))
        let refused = [cluster.nameTaken("b1"), cluster.nameTaken("b2")].compactMap { $0 }
        #expect(refused.count == 1)
    }

    @Test func aDeadServersHeartbeatsAreNoLife() {
        var cluster = MembershipCluster()
        cluster.start("a", "a1")
        cluster.start("b", "b1")
        cluster.run(.seconds(2))
        cluster.keepsHeartbeats = true
        cluster.run(.seconds(3))
        let late = cluster.kept.filter { $0.0.name == "b" }
        cluster.keepsHeartbeats = false
        cluster.kill("b1")
        cluster.run(.seconds(4))
        #expect(cluster.left(seenBy: "a1") == ["b/b1 died"])
        #expect(!late.isEmpty)
        for (announcement, destination, link) in late { cluster.deliver(announcement, destination, link) }
        cluster.run(.seconds(2))
        #expect(cluster.names(seenBy: "a1") == [])
        // Nor do they keep a server from starting under the name.
        cluster.start("b", "b2")
        for (announcement, destination, link) in late { cluster.deliver(announcement, destination, link) }
        cluster.run(.seconds(2))
        #expect(cluster.nameTaken("b2") == nil)
        #expect(cluster.names(seenBy: "a1") == ["b/b2"])
    }

    @Test func nobodyIsRefusedWithoutTheNonce() {
        var cluster = MembershipCluster()
        cluster.start("b", "b1")
        cluster.run(.seconds(1))
        var forged = Announcement(.heartbeat, name: "b", incarnation: "b0", number: 9, uptime: 1_000_000_000)
        cluster.deliver(forged, .everyone, BusLink(number: 0))
        forged.kind = .alive
        forged.nonce = "guessed"
        forged.winner = "b0"
        cluster.deliver(forged, .inbox(name: "b", incarnation: "b1"), BusLink(number: 0))
        cluster.run(.seconds(5))
        #expect(cluster.nameTaken("b1") == nil)
    }

    @Test func oneLearnsWhichLinksTheOthersHear() {
        var cluster = MembershipCluster()
        cluster.start("a", "a1")
        cluster.start("b", "b1")
        cluster.run(.seconds(2))
        #expect(cluster.members["a1"]?.linksReachingAll == [BusLink(number: 0), BusLink(number: 1)])
        cluster.deaf = ["b1/0"]
        cluster.run(.seconds(3))
        #expect(cluster.members["a1"]?.hears("b1", BusLink(number: 0)) == false)
        #expect(cluster.members["a1"]?.hears("b1", BusLink(number: 1)) == true)
        #expect(cluster.members["a1"]?.linksReachingAll == [BusLink(number: 1)])
        #expect(cluster.members["b1"]?.isProved(BusLink(number: 0)) == false)
        cluster.deaf = []
        cluster.run(.seconds(2))
        #expect(cluster.members["a1"]?.linksReachingAll.count == 2)
    }

    @Test func aLinkIsProbedAtOnceWhenSomethingFailed() {
        var cluster = MembershipCluster()
        cluster.start("a", "a1")
        cluster.run(.milliseconds(500))
        let now = cluster.now
        let first = cluster.members["a1"]?.probe(BusLink(number: 0), now: now) ?? []
        let second = cluster.members["a1"]?.probe(BusLink(number: 0), now: now) ?? []
        #expect(first.count == 1)
        #expect(second.isEmpty)
        cluster.perform(first, of: "a1")
        #expect(cluster.members["a1"]?.reach().links.first?.provedAt == now)
    }

    @Test func whoIsHeardByOthersOnlyIsUnreachable() {
        var cluster = MembershipCluster()
        cluster.start("a", "a1", links: [0])
        cluster.start("b", "b1", links: [0, 1])
        cluster.start("c", "c1", links: [1])
        cluster.run(.seconds(12))
        #expect(cluster.names(seenBy: "a1") == ["b/b1"])
        #expect(cluster.names(seenBy: "b1") == ["a/a1", "c/c1"])
        #expect(cluster.members["a1"]?.unreachable(now: cluster.now) == [.init(name: "c", incarnation: "c1")])
        #expect(cluster.members["b1"]?.unreachable(now: cluster.now) == [])
        #expect(cluster.members["b1"]?.linksReachingAll == [])
        cluster.link("a1", 1, isUsable: true)
        cluster.run(.seconds(2))
        #expect(cluster.members["a1"]?.unreachable(now: cluster.now) == [])
    }

    @Test func whoIsHeardAndHearsNothingIsUnreachable() {
        var cluster = MembershipCluster()
        cluster.start("a", "a1", links: [0])
        cluster.start("b", "b1", links: [0, 1])
        cluster.run(.seconds(2))
        cluster.deaf = ["b1/0"]
        cluster.run(.seconds(4))
        #expect(cluster.members["a1"]?.unreachable(now: cluster.now) == [], "not noticed for long enough")
        cluster.run(.seconds(3))
        #expect(cluster.names(seenBy: "a1") == ["b/b1"])
        #expect(cluster.members["a1"]?.unreachable(now: cluster.now) == [.init(name: "b", incarnation: "b1")])
        cluster.deaf = []
        cluster.run(.seconds(2))
        #expect(cluster.members["a1"]?.unreachable(now: cluster.now) == [])
        #expect(cluster.names(seenBy: "b1") == ["a/a1"])
    }

    @Test func whoCanPublishNowhereGivesUpNobody() {
        var cluster = MembershipCluster()
        cluster.start("a", "a1", links: [0])
        cluster.start("b", "b1", links: [0])
        cluster.run(.seconds(2))
        cluster.link("a1", 0, canPublish: false, canReceive: true)
        cluster.run(.seconds(8))
        #expect(cluster.names(seenBy: "a1") == ["b/b1"])
        #expect(cluster.members["a1"]?.unreachable(now: cluster.now) == [])
        cluster.link("a1", 0, isUsable: true)
        cluster.deaf = ["b1/0"]
        cluster.run(.seconds(3))
        #expect(cluster.members["a1"]?.unreachable(now: cluster.now) == [], "not noticed for long enough")
    }

    @Test func manyServersSpeakLessOften() {
        var cluster = MembershipCluster()
        cluster.start("a", "a1", links: [0])
        let others = (0..<399).map { Announcement(.heartbeat, name: "s\($0)", incarnation: "i\($0)", number: 1) }
        for heartbeat in others { cluster.deliver(heartbeat, .everyone, BusLink(number: 0)) }
        // While it hears its own probes at once, it asks twice as many from tick to tick.
        cluster.run(.milliseconds(700))
        for var proof in others {
            guard let ask = cluster.members["a1"]?.peers[proof.incarnation]?.ask else { continue }
            proof.kind = .alive
            proof.nonce = ask.nonce
            cluster.deliver(proof, .inbox(name: "a", incarnation: "a1"), BusLink(number: 0))
        }
        #expect(cluster.members["a1"]?.heartbeatInterval == .seconds(2))
    }

    @Test func whatIsKnownIsBounded() {
        var cluster = MembershipCluster()
        cluster.start("a", "a1", links: [0])
        for number in 0..<5_000 {
            var announcement = Announcement(.heartbeat, name: "s\(number)", incarnation: "i\(number)", number: 1)
            announcement.heard = [.init(name: "t\(number)", incarnation: "j\(number)")]
            let now = cluster.now
            _ = cluster.members["a1"]?.received(announcement, over: BusLink(number: 0), now: now)
        }
        #expect(cluster.members["a1"]?.peers.count == 1_024)
        #expect(cluster.members["a1"]?.overflows.candidates == 5_000 - 1_024)
        #expect(cluster.members["a1"]?.mentions.isEmpty == true, "who has not proved that it lives is no witness")
        cluster.run(.seconds(70))
        #expect(cluster.members["a1"]?.peers.isEmpty == true)
        #expect(cluster.members["a1"]?.mentions.isEmpty == true)
    }

    @Test(arguments: [
        #"{}"#, #"[]"#, #"{"incarnation":"A!","number":1,"uptime":1,"via":0,"interval":1000}"#,
        #"{"incarnation":"a","number":-1,"uptime":1,"via":0,"interval":1000}"#,
        #"{"incarnation":"a","number":1,"uptime":1.5,"via":0,"interval":1000}"#,
        #"{"incarnation":"a","number":1,"uptime":1,"via":0,"interval":0}"#,
        #"{"incarnation":"a","number":1,"uptime":1,"via":0,"interval":1000,"links":[[1]]}"#,
        #"{"incarnation":"a","number":1,"uptime":1,"via":0,"interval":1000,"role":"king"}"#,
        #"{"incarnation":"a","number":99999999999999999999,"uptime":1,"via":0,"interval":1000}"#,
    ])
    func hostileAnnouncementsAreRefused(json: String) throws {
        let payload = try Payload(json: json)
        #expect(Announcement(CrossServerEvent(event: "heartbeat", sender: "b", payload: payload)) == nil)
    }
}
