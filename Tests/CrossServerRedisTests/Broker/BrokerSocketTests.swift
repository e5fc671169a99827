import CrossServerBus
import CrossServerRESP
import CrossServerRedis
import Foundation
import NIOCore
import NIOPosix
import Testing

@Suite struct BrokerSocketTests {
    private func text(_ text: String) -> RESPValue { .bulkString(ByteBuffer(string: text)) }

    @Test(.timeLimit(.minutes(3)))
    func messagesOfOnePublisherKeepTheirOrder() async throws {
        try await withBroker { _, address in
            try await BrokerPeer.with(address) { subscriber in
                _ = try await subscriber.ask("HELLO 3")
                #expect(try await subscriber.ask("SUBSCRIBE a") == .push([text("subscribe"), text("a"), .integer(1)]))
                let count = 20_000
                try await BrokerPeer.with(address) { publisher in
                    var commands = ByteBuffer()
                    for number in 0..<count {
                        commands.writePublish(channel: "a", message: ByteBuffer(string: "\(number)"))
                    }
                    // In pieces that end anywhere.
                    while let piece = commands.readSlice(length: min(1_003, commands.readableBytes)),
                        piece.readableBytes > 0
                    {
                        try await publisher.send(piece)
                    }
                    for number in 0..<count {
                        let expected = RESPValue.push([text("message"), text("a"), text("\(number)")])
                        guard try await subscriber.next() == expected, try await publisher.next() == .integer(1) else {
                            Issue.record("message \(number) is missing")
                            return
                        }
                    }
                }
            }
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func slowSubscriberIsClosedAndOthersAreServed() async throws {
        let size = 1 << 20
        try await withBroker {
            $0.limits.maximumMessageSize = size
            $0.limits.maximumPendingBytes = 4 << 20
        } _: { _, address in
            try await BrokerPeer.with(address) { slow in
                _ = try await slow.ask("SUBSCRIBE a")
                try await BrokerPeer.with(address) { reader in
                    _ = try await reader.ask("SUBSCRIBE a")
                    try await BrokerPeer.with(address) { publisher in
                        var command = ByteBuffer()
                        command.writePublish(channel: "a", message: ByteBuffer(repeating: 0x78, count: size))
                        _ = try await eventually {
                            try await publisher.send(command)
                            let receivers = try await publisher.next()
                            #expect(try await reader.next()?.elements?.count == 3)
                            return receivers == .integer(1) ? true : nil
                        }
                        try await slow.expectClosed()
                        #expect(try await publisher.ask("PUBSUB NUMSUB a") == .array([text("a"), .integer(1)]))
                    }
                }
            }
        }
    }

    @Test(
        .timeLimit(.minutes(3)),
        arguments: [
            ("*1\r\n$-5\r\n", "ERR Protocol error: invalid bulk length"),
            ("*1\r\n$999999999999\r\n", "ERR Protocol error: invalid bulk length"),
            ("*99999999999\r\n", "ERR Protocol error: invalid multibulk length"),
            ("*1\r\nPING\r\n", "ERR Protocol error: expected '$', got 'P'"),
            ("PING 'a\r\n", "ERR Protocol error: unbalanced quotes in request"),
            (String(repeating: "\0", count: 70_000), "ERR Protocol error: too big inline request"),
        ]
    )
    func hostileInputIsAnsweredAndClosed(input: String, error: String) async throws {
        try await withBroker { _, address in
            try await BrokerPeer.with(address) { peer in
                try await peer.expectPong()
                try await peer.send(input)
                #expect(try await peer.next() == .simpleError(error))
                try await peer.expectClosed()
            }
            try await BrokerPeer.with(address) { peer in
                try await peer.expectPong()
            }
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func randomBytesHarmNobody() async throws {
        var generator = SystemRandomNumberGenerator()
        let pieces = [
            "*3\r\n", "$7\r\n", "PUBLISH\r\n", "SUBSCRIBE a\r\n", "\r\n", "$1\r\n", "a\r\n", "HELLO 3\r\n", "\"",
        ]
        try await withBroker { _, address in
            for _ in 0..<200 {
                let garbage = (0..<20).map { _ in
                    Bool.random(using: &generator)
                        ? pieces.randomElement(using: &generator) ?? ""
                        : String(UnicodeScalar(UInt8.random(in: 0...255, using: &generator)))
                }
                try await BrokerPeer.with(address) { peer in
                    // The broker may have closed already.
                    try? await peer.send(garbage.joined())
                }
            }
            try await BrokerPeer.with(address) { peer in
                try await peer.expectPong()
                _ = try await eventually {
                    let info = try await peer.ask("INFO clients")?.string
                    return info?.contains("connected_clients:1\r\n") == true ? true : nil
                }
            }
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func halfCommandIsCompletedLater() async throws {
        try await withBroker { _, address in
            try await BrokerPeer.with(address) { half in
                try await half.send("*2\r\n$4\r\nECHO\r\n$5\r\nhe")
                try await BrokerPeer.with(address) { other in
                    try await other.expectPong()
                }
                #expect(try await half.ask("llo") == text("hello"))
            }
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func clientsThatDoNotAuthenticateAreClosed() async throws {
        try await withBroker {
            $0.password = "secret"
            $0.limits.authenticationTimeout = .seconds(2)
        } _: { _, address in
            try await BrokerPeer.with(address) { peer in
                #expect(try await peer.ask("AUTH secret") == .simpleString("OK"))
                try await BrokerPeer.with(address) { silent in
                    #expect(try await silent.ask("PING") == .simpleError("NOAUTH Authentication required."))
                    try await silent.expectClosed()
                }
                try await BrokerPeer.with(address) { greedy in
                    let error = RESPValue.simpleError("ERR Protocol error: unauthenticated bulk length")
                    #expect(try await greedy.ask("*2\r\n$4\r\nAUTH\r\n$20000") == error)
                    try await greedy.expectClosed()
                }
                try await peer.expectPong()
                #expect(try await peer.ask("RESET") == .simpleString("RESET"))
                try await peer.expectClosed()
            }
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func connectionsAreCounted() async throws {
        try await withBroker {
            $0.limits.maximumConnections = 1
        } _: { _, address in
            try await BrokerPeer.with(address) { first in
                try await first.expectPong()
                try await BrokerPeer.with(address) { second in
                    #expect(try await second.next() == .simpleError("ERR max number of clients reached"))
                    try await second.expectClosed()
                }
                try await first.expectPong()
            }
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func repliesReachWhoSendsAndLeaves() async throws {
        try await withBroker { _, address in
            try await BrokerPeer.with(address) { peer in
                try await peer.send("PING\r\nECHO bye\r\nQUIT\r\nPING\r\n")
                #expect(try await peer.next() == .simpleString("PONG"))
                #expect(try await peer.next() == text("bye"))
                #expect(try await peer.next() == .simpleString("OK"))
                #expect(try await peer.next() == nil)
            }
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func stopsWithItsClients() async throws {
        let broker = EmbeddedBroker(port: 0)
        let running = Task { try await broker.run() }
        let address = try await eventually { broker.listeningAddress }
        try await BrokerPeer.with(address) { peer in
            _ = try await peer.ask("SUBSCRIBE a")
            running.cancel()
            try await peer.expectClosed()
        }
        try await running.value
        #expect(broker.listeningAddress == nil)
        let error = await #expect(throws: BusError.self) { try await broker.run() }
        #expect(error?.code == .alreadyRun)
    }

    @Test(.timeLimit(.minutes(3)))
    func portInUseIsAnError() async throws {
        try await withBroker { _, address in
            let second = EmbeddedBroker(port: try #require(address.port))
            let error = await #expect(throws: BusError.self) { try await second.run() }
            #expect(error?.message.hasPrefix("cannot listen on 127.0.0.1:") == true)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func unixDomainSocket() async throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "broker-\(UUID().uuidString.prefix(8))").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try await withBroker {
            $0.port = nil
            $0.unixDomainSocketPath = path
        } _: { _, address in
            #expect(address.pathname == path)
            try await BrokerPeer.with(address) { peer in
                try await peer.expectPong()
            }
        }
    }
}
