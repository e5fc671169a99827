import CrossServerRedis
import NIOCore
import Synchronization
import Testing

/// Against `redis-server`: kinds of nodes, and how to get in.
@Suite struct NodeTests {
    @Test(.timeLimit(.minutes(3)), arguments: [1, 2, 3], [SelectionStrategy.random, .roundRobin, .fastest])
    func messagesComeOnceOverOneOfTheNodes(count: Int, strategy: SelectionStrategy) async throws {
        var servers: [RedisServerProcess] = []
        for _ in 0..<count { servers.append(try await .start()) }
        let nodes = try servers.map { try RedisNode($0.url) }
        try await withBus(nodes, .quick { $0.strategy = strategy }) { bus, recorder in
            bus.subscribe(to: ["news"])
            try await bus.ready(count)
            try await bus.subscribed(to: ["news"], within: .seconds(60))
            let texts = (0..<300).map { "message \($0)" }
            var links: Set<BusLink> = []
            for text in texts {
                let publication = try await bus.send(text, to: "news")
                #expect(publication.receivers == 1)
                links.insert(publication.link)
            }
            try await eventually("300 messages") { recorder.messages.count >= 300 }
            #expect(recorder.texts.sorted() == texts.sorted())
            if count == 1 { #expect(recorder.texts == texts) }
            if strategy != .fastest { #expect(links.count == count) }
            #expect(bus.healthyNodeCount(.publisher) == count)
            #expect(bus.healthyNodeCount(.subscriber) == count)
            #expect(bus.statistics.published == 300)
            try await eventually("300 counted") { bus.statistics.received == 300 }
            #expect(bus.statistics.failed == 0)
        }
        withExtendedLifetime(servers) {}
    }

    @Test(.timeLimit(.minutes(2)))
    func theNodeThatIsAskedFor() async throws {
        let servers = [try await RedisServerProcess.start(), try await RedisServerProcess.start()]
        try await withBus(try servers.map { try RedisNode($0.url) }, connections: .neverAgain) { bus, _ in
            bus.subscribe(to: ["c"])
            try await bus.ready(2)
            let links = bus.links.map(\.link)
            for number in 0..<40 {
                let link = links[number % 2]
                let publication = try await withCheckedThrowingContinuation { continuation in
                    do {
                        try bus.publish(ByteBuffer(string: "x"), to: "c", over: link) { continuation.resume(with: $0) }
                    } catch {
                        continuation.resume(throwing: error)
                    }
                }
                #expect(publication.link == link)
            }
            servers[0].kill()
            try await eventually("out of use") { bus.links[0].canPublish == false }
            let outcome = Mutex<Publication?>(nil)
            try bus.publish(ByteBuffer(string: "x"), to: "c", over: links[0]) { result in
                if case .success(let publication) = result { outcome.withLock { $0 = publication } }
            }
            try await eventually("the other") { outcome.withLock { $0?.link } == links[1] }
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func aPasswordAndAConnectionName() async throws {
        let server = try await RedisServerProcess.start(["--requirepass", "s:ecr@t"], cli: ["-a", "s:ecr@t"])
        let url = "redis://:s%3Aecr%40t@127.0.0.1:\(server.port)/3?name=ours"
        try await withBus([try RedisNode(url)]) { bus, recorder in
            bus.subscribe(to: ["c"])
            try await bus.ready(1)
            try await bus.roundTrip("x", on: "c", recorder)
            let clients = try server.clients()
            #expect(clients.count { $0.contains(" name=ours ") && $0.contains(" db=3 ") } == 2)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func anACLUserAndAChannelThatItMayNotSubscribe() async throws {
        let server = try await RedisServerProcess.start()
        try server.cli("ACL", "SETUSER", "joe", "on", ">pw", "+@pubsub", "+ping", "+client|setname", "&open.*")
        try await withBus([try RedisNode("redis://joe:pw@127.0.0.1:\(server.port)?name=joe")]) { bus, recorder in
            let open = (0..<250).map { "open.\($0)" }
            bus.subscribe(to: Array(open[..<120]) + ["closed"] + Array(open[120...]))
            try await bus.ready(1)
            try await bus.subscribed(to: open, within: .seconds(60))
            for channel in ["open.0", "open.119", "open.120", "open.249"] {
                #expect(try server.subscribers(of: channel) == 1)
            }
            try await bus.roundTrip("x", on: "open.7", recorder)
            #expect(recorder.errors.map(\.channel) == ["closed"])
            #expect(recorder.errors.first?.event == .subscribe)
            #expect(recorder.errors.first?.error.hasPrefix("NOPERM") == true)
            #expect(recorder.errors.first?.port == server.port)
            await #expect(throws: BusError.self) {
                try await bus.subscribed(to: ["open.0", "closed"], within: .seconds(60))
            }
            let error = await #expect(throws: BusError.self) { try await bus.send("x", to: "closed") }
            #expect(error?.code == .refused)
            #expect(bus.links.first?.canPublish == true)
            bus.unsubscribe(from: ["closed"])
            bus.subscribe(to: ["open.more"])
            try await bus.subscribed(to: ["open.more"], within: .seconds(60))
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func aUnixSocket() async throws {
        let server = try RedisServerProcess(["--unixsocket", "redis.sock"])
        try await server.start()
        try await withBus([try RedisNode("unix://\(server.unixSocket)?db=2")]) { bus, recorder in
            bus.subscribe(to: ["c"])
            try await bus.ready(1)
            try await bus.roundTrip("x", on: "c", recorder)
            #expect(recorder.reports.first?.host == server.unixSocket)
        }
    }

    @Test func aBusWithoutNodesIsAnError() {
        let error = #expect(throws: BusError.self) { try RedisBus(nodes: []) }
        #expect(error?.code == .invalidConfiguration)
    }

    @Test(.timeLimit(.minutes(3)), arguments: [false, true])
    func tls(isMutual: Bool) async throws {
        let certificates = try TestCertificates()
        let server = try RedisServerProcess(
            [
                "--tls-cert-file", certificates.file("server.crt"), "--tls-key-file", certificates.file("server.key"),
                "--tls-ca-cert-file", certificates.file("ca.crt"), "--tls-auth-clients", isMutual ? "yes" : "no",
            ],
            cli: [
                "--tls", "--cacert", certificates.file("ca.crt"), "--cert", certificates.file("client.crt"),
                "--key", certificates.file("client.key"),
            ],
            isPlain: false
        )
        try await server.start()
        let client = "&cert=\(certificates.file("client.crt"))&key=\(certificates.file("client.key"))"
        let url = "rediss://localhost:\(server.port)?ca=\(certificates.file("ca.crt"))"
        let right = try RedisNode(isMutual ? url + client : url)
        let before = try server.connectionsReceived()
        let rounds = 5
        for _ in 0..<rounds {
            try await withBus([right]) { bus, recorder in
                bus.subscribe(to: ["c"])
                try await bus.ready(1)
                for number in 0..<20 { _ = try await bus.send("\(number)", to: "c") }
                try await eventually("20 messages") { recorder.messages.count == 20 }
            }
        }
        // The second one asks.
        #expect(try server.connectionsReceived() - before == 2 * rounds + 1)
        let configuration = RedisBus.Configuration.quick { $0.probeDeadline = .seconds(2) }
        try await withBus([right], configuration, connections: .again(1...9)) { bus, recorder in
            bus.subscribe(to: ["c"])
            try await bus.ready(1)
            try await bus.roundTrip("x", on: "c", recorder)
            // A hung server gives no consent to the end of TLS.
            server.freeze()
            try await eventually("out of use") { bus.links.allSatisfy { !$0.canPublish && !$0.canReceive } }
            server.thaw()
            try await bus.roundTrip("y", on: "c", recorder)
        }
        // Without what the server or the client wants, there is no connection, and it is said why.
        let wrong = isMutual ? url : "rediss://localhost:\(server.port)"
        try await withBus([try RedisNode(wrong)], connections: .neverAgain) { bus, recorder in
            try await eventually("two reports") { Set(recorder.reports.map(\.type)).count == 2 }
            #expect(recorder.reports.allSatisfy { !$0.isHealthy && $0.error != nil })
            #expect(bus.links.allSatisfy { !$0.canPublish && !$0.canReceive })
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func nodesComeAndGo() async throws {
        let first = try await RedisServerProcess.start()
        let second = try await RedisServerProcess.start()
        try await withBus([try RedisNode(first.url)], .quick { $0.strategy = .roundRobin }) { bus, recorder in
            bus.subscribe(to: ["c"])
            try await bus.ready(1)
            let link = try bus.add(try RedisNode(second.url))
            try await bus.ready(2)
            #expect(bus.nodeCount == 2)
            #expect(throws: BusError.self, "every message would come twice") { try bus.add(try RedisNode(second.url)) }
            #expect(bus.nodeCount == 2)
            #expect(try second.subscribers(of: "c") == 1)
            for number in 0..<10 { _ = try await bus.send("\(number)", to: "c") }
            try await eventually("10 messages") { recorder.messages.count == 10 }
            #expect(recorder.messages.count { $0.link == link } == 5)
            let old = bus.links[0].link
            #expect(bus.remove(old))
            #expect(!bus.remove(old))
            #expect(bus.links.map(\.link) == [link])
            for number in 10..<20 { #expect(try await bus.send("\(number)", to: "c").link == link) }
            try await eventually("no connection to the first") { try first.clients().isEmpty }
            try await eventually("told") {
                recorder.statuses.last { $0.link == old }.map { !$0.canPublish && !$0.canReceive } == true
            }
        }
        try await eventually("no connection to the second") { try second.clients().isEmpty }
    }
}
