import NIOCore
import Testing

@testable import CrossServerBus

/// Servers whose inbox nobody hears, and servers that hear nobody.
@Suite struct SuspectTests {
    @Test func aServerThatNoLinkReachesIsSuspectAtOnce() {
        var cluster = MembershipCluster.pair()
        cluster.kill("b1")
        cluster.count("b1", by: "a1", over: 0)
        #expect(cluster.suspects(seenBy: "a1") == [], "there is another link")
        cluster.count("b1", by: "a1", over: 1)
        #expect(cluster.suspects(seenBy: "a1") == ["b"])
        #expect(cluster.members["a1"]?.isSuspect("b1") == true)
        #expect(cluster.names(seenBy: "a1") == ["b/b1"], "it is no death yet")
        cluster.run(.seconds(4))
        #expect(cluster.names(seenBy: "a1") == [])
        let reports = (cluster.events["a1"] ?? []).compactMap { action in
            switch action {
            case .suspected(let member): "suspected \(member.name)"
            case .cleared(let member): "cleared \(member.name)"
            case .left(let member, let reason): "left \(member.name) \(reason)"
            default: nil as String?
            }
        }
        #expect(reports == ["suspected b", "left b died"])
    }

    @Test func aSuspectThatSpeaksIsNone() {
        var cluster = MembershipCluster.pair()
        cluster.deaf = ["b1/0", "b1/1"]
        for link in 0...1 { cluster.count("b1", by: "a1", over: link) }
        #expect(cluster.suspects(seenBy: "a1") == ["b"])
        cluster.run(.milliseconds(1_100))
        #expect(cluster.suspects(seenBy: "a1") == [])
        // What is said of the time before it spoke is no news.
        let now = cluster.now
        for link in 0...1 {
            let actions = cluster.members["a1"]?.inboxHeard(
                by: 0,
                of: "b1",
                over: BusLink(number: link),
                askedAt: now - .seconds(2),
                now: now
            )
            #expect(actions == [])
        }
        #expect(cluster.suspects(seenBy: "a1") == [])
    }

    @Test func aSuspectWhoseInboxIsHeardAgainIsNone() {
        var cluster = MembershipCluster.pair()
        cluster.deaf = ["b1/0", "b1/1"]
        for link in 0...1 { cluster.count("b1", by: "a1", over: link) }
        cluster.deaf = ["b1/0"]
        cluster.count("b1", by: "a1", over: 1)
        #expect(cluster.suspects(seenBy: "a1") == [])
        // And needs all links to be one again.
        cluster.count("b1", by: "a1", over: 0)
        #expect(cluster.suspects(seenBy: "a1") == [])
    }

    /// All have lost their connections then; who is slower to connect again is not dead.
    @Test func aLinkThatHasJustComeBackSaysNothing() {
        var cluster = MembershipCluster()
        cluster.start("a", "a1", links: [0])
        cluster.start("b", "b1", links: [0])
        cluster.run(.seconds(3))
        for server in ["a1", "b1"] { cluster.link(server, 0, isUsable: false) }
        cluster.run(.milliseconds(500))
        cluster.link("a1", 0, isUsable: true)
        cluster.run(.milliseconds(300))
        #expect(cluster.members["a1"]?.isProved(BusLink(number: 0)) == true)
        cluster.count("b1", by: "a1", over: 0)
        #expect(cluster.suspects(seenBy: "a1") == [])
        cluster.link("b1", 0, isUsable: true)
        cluster.run(.seconds(1))
        cluster.kill("b1")
        cluster.count("b1", by: "a1", over: 0)
        #expect(cluster.suspects(seenBy: "a1") == ["b"])
    }

    @Test func whoHearsNothingSuspectsNobody() {
        var cluster = MembershipCluster.pair()
        cluster.deaf = ["a1/0", "a1/1"]
        cluster.run(.seconds(3))
        for link in 0...1 {
            let now = cluster.now
            let link = BusLink(number: link)
            _ = cluster.members["a1"]?.inboxHeard(by: 0, of: "b1", over: link, askedAt: now, now: now)
        }
        #expect(cluster.members["a1"]?.isSuspect("b1") == false)
    }

    // MARK: Hearing

    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
    private let holder = Holder(name: "b", incarnation: "1")

    private func time(_ milliseconds: Int64) -> NIODeadline { self.start + .milliseconds(milliseconds) }

    @Test func aDeathIsBelievedByWhoHearsWell() {
        var hearing = Hearing(patience: .seconds(3))
        #expect(hearing.update(hears: true, now: self.time(0)) == [])
        #expect(!hearing.isGood(now: self.time(2_999)))
        #expect(hearing.isGood(now: self.time(3_000)))
        let isSure = hearing.fellSilent(self.holder, now: self.time(3_000))
        #expect(isSure)
        #expect(hearing.undecided.isEmpty)
    }

    @Test func whoHearsNobodyBelievesNoDeathUntilItHasHeardWellForAWhile() {
        var hearing = Hearing(patience: .seconds(3))
        _ = hearing.update(hears: true, now: self.time(0))
        _ = hearing.update(hears: false, now: self.time(5_000))
        let isSure = hearing.fellSilent(self.holder, now: self.time(6_000))
        #expect(!isSure)
        #expect(hearing.update(hears: false, now: self.time(60_000)) == [])
        #expect(hearing.update(hears: true, now: self.time(61_000)) == [])
        #expect(hearing.update(hears: true, now: self.time(63_999)) == [])
        #expect(hearing.update(hears: true, now: self.time(64_000)) == [self.holder])
        #expect(hearing.update(hears: true, now: self.time(64_100)) == [], "once")
    }

    @Test func whoComesBackWasNotDead() {
        var hearing = Hearing(patience: .seconds(3))
        let next = Holder(name: "b", incarnation: "2")
        for server in [self.holder, Holder(name: "c", incarnation: "1")] {
            let isSure = hearing.fellSilent(server, now: self.time(0))
            #expect(!isSure)
        }
        #expect(hearing.joined(Holder(name: "c", incarnation: "1")) == [])
        // A new life of the name ends the one before.
        #expect(hearing.joined(next) == [self.holder])
        _ = hearing.update(hears: true, now: self.time(0))
        #expect(hearing.update(hears: true, now: self.time(9_000)) == [])
    }
}
