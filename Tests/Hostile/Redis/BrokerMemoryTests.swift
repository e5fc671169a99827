import CrossServerRESP
import Logging
import NIOCore
import NIOPosix
import Testing

@testable import CrossServerRedis
@testable import CrossServerRedisTests

/// What all clients of a broker together may hold.
@Suite struct BrokerMemoryTests {
    typealias Bench = BrokerCoreTests.Bench

    private static func publish(_ size: Int, _ bench: Bench, _ publisher: BrokerClient, to channel: String = "a") {
        bench.core.publish(ByteBuffer(repeating: 0x78, count: size), to: ByteBuffer(string: channel), for: publisher)
        _ = bench.output(publisher)
    }

    @Test func aLongMessageCountsOnceHoweverManyItWaitsFor() {
        let bench = Bench()
        let subscribers = (0..<10).map { _ in bench.connect() }
        for subscriber in subscribers { bench.run(subscriber, "SUBSCRIBE a") }
        let publisher = bench.connect()
        let idle = bench.core.memory.used
        Self.publish(1_000_000, bench, publisher)
        #expect(1_000_000..<1_001_000 ~= bench.core.memory.used - idle)
        for subscriber in subscribers.dropLast() { _ = bench.output(subscriber) }
        #expect(bench.core.memory.used - idle >= 1_000_000)
        _ = bench.output(subscribers[9])
        #expect(bench.core.memory.used == idle)
        Self.publish(100, bench, publisher)
        #expect(1_000..<3_000 ~= bench.core.memory.used - idle)
        for subscriber in subscribers { bench.core.disconnect(subscriber) }
        bench.core.disconnect(publisher)
        #expect(bench.core.memory.used == 0)
    }

    @Test func whoHoldsTheMostIsClosedFirst() {
        let bench = Bench { $0.limits.maximumTotalBytes = 1_000_000 }
        let subscribers = (0..<3).map { _ in bench.connect() }
        for (index, subscriber) in subscribers.enumerated() { bench.run(subscriber, "SUBSCRIBE own.\(index) all") }
        let publisher = bench.connect()
        Self.publish(300_000, bench, publisher, to: "own.0")
        Self.publish(400_000, bench, publisher, to: "own.1")
        #expect(subscribers.allSatisfy { $0.closing == .no })
        Self.publish(350_000, bench, publisher, to: "own.2")
        #expect(subscribers.map(\.closing) == [.no, .atOnce, .no])
        Self.publish(100, bench, publisher, to: "all")
        #expect(bench.output(subscribers[0]).count > 300_000)
        #expect(bench.output(subscribers[1]).isEmpty)
        #expect(bench.output(subscribers[2]).count > 350_000)
    }

    @Test func whatIsHalfSentCounts() {
        let bench = Bench { $0.limits.maximumTotalBytes = 1_000_000 }
        let clients = (0..<2).map { _ in bench.connect() }
        bench.core.holdsInput(600_000, clients[0])
        bench.core.holdsInput(300_000, clients[1])
        #expect(clients.allSatisfy { $0.closing == .no })
        bench.core.holdsInput(500_000, clients[1])
        #expect(clients.map(\.closing) == [.atOnce, .no])
        #expect(bench.core.memory.used == 500_000)
    }

    @Test func subscriptionsCount() {
        let bench = Bench { $0.limits.maximumTotalBytes = 1_000_000 }
        let small = bench.connect()
        let large = bench.connect()
        bench.run(small, "SUBSCRIBE a")
        for number in 0..<10_000 where large.closing == .no { bench.run(large, "SUBSCRIBE channel.\(number)") }
        #expect(large.closing == .atOnce)
        #expect(small.closing == .no)
        #expect(bench.core.memory.used < 1_000)
        bench.run(small, "UNSUBSCRIBE")
        #expect(bench.core.memory.used == 0)
    }

    @Test(.timeLimit(.minutes(3)))
    func clientsThatDoNotReadAreClosedAndOthersAreServed() async throws {
        let size = 1 << 18
        try await withBroker {
            $0.limits.maximumMessageSize = size
            $0.limits.maximumPendingBytes = 32 * size
            $0.limits.maximumTotalBytes = 32 * size
        } _: { _, address in
            let channels = (0..<8).map { "slow.\($0)" }
            var slow: [any Channel] = []
            for channel in channels {
                // The kernel is to keep little, so that little has to be sent.
                let client = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                    .channelOption(.socketOption(.so_rcvbuf), value: 16_384)
                    .channelOption(.autoRead, value: false).connect(to: address).get()
                try await client.writeAndFlush(ByteBuffer(string: "SUBSCRIBE \(channel)\r\n"))
                slow.append(client)
            }
            try await BrokerPeer.with(address) { publisher in
                func subscribers() async throws -> Int {
                    let counts = try await publisher.ask("PUBSUB NUMSUB \(channels.joined(separator: " "))")
                    return counts?.elements?.count { $0 == .integer(1) } ?? -1
                }
                _ = try await eventually { try await subscribers() == channels.count ? true : nil }
                _ = try await eventually {
                    for channel in channels {
                        var command = ByteBuffer()
                        command.writePublish(channel: channel, message: ByteBuffer(repeating: 0x78, count: size))
                        try await publisher.send(command)
                        _ = try await publisher.next()
                    }
                    return try await subscribers() == 0 ? true : nil
                }
                try await publisher.expectPong()
            }
            for client in slow { client.close(promise: nil) }
        }
    }

    /// Redis takes as many, and our bus has a channel for each room where it is told so.
    @Test(.timeLimit(.minutes(3)))
    func aSubscriptionOfVeryManyChannelsIsTakenOrRefused() async throws {
        try await withBroker {
            $0.limits.maximumChannels = 30_000
        } _: { _, address in
            try await BrokerPeer.with(address) { peer in
                var command = ByteBuffer()
                command.writeRESPCommand(["SUBSCRIBE"] + (0..<30_001).map { "c\($0)" })
                try await peer.send(command)
                #expect(try await peer.next() == .simpleError("ERR more than 30000 channels"))
                command.clear()
                command.writeRESPCommand(["SUBSCRIBE"] + (0..<30_000).map { "c\($0)" })
                try await peer.send(command)
                for number in 1...30_000 {
                    guard try await peer.next()?.elements?.last == .integer(Int64(number)) else {
                        Issue.record("\(number) is missing")
                        return
                    }
                }
            }
        }
    }
}
