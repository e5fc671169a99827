import CrossServer
import CrossServerRedis
import Foundation
import Synchronization
import Testing

/// The adapter over `redis-server`.
@Suite struct AdapterTests {
    /// What is sent before the first connection waits, and comes in order.
    @Test(.timeLimit(.minutes(3)))
    func eventsBeforeTheFirstConnectionComeWhenItIsThere() async throws {
        let server = try RedisServerProcess()
        let node = try RedisNode(server.url)
        try await withBuses([[node], [node]], connections: .neverAgain) { buses in
            let servers = zip(["a", "b"], buses).map { WebSocketCrossServerAdapter(serverName: $0, bus: $1) }
            let numbers = Mutex<[Int]>([])
            servers[1].onCrossServerEvent("x") { event, _ in
                numbers.withLock { $0.append(Int(event.payload.json) ?? -1) }
            }
            let running = servers.map { server in Task { try await server.run() } }
            defer { for task in running { task.cancel() } }
            for number in 0..<500 { try servers[0].emitCrossServer("x", Payload(number), exceptSelf: true) }
            try await server.start()
            try await eventually("both servers") { servers.allSatisfy { $0.servers.count == 2 } }
            for number in 500..<1_000 { try servers[0].emitCrossServer("x", Payload(number), exceptSelf: true) }
            try await eventually("the last event") { numbers.withLock { $0.last == 999 } }
            let received = numbers.withLock { $0 }
            #expect(received == Array(received.first.map { $0...999 } ?? 0...999), "in order, and each once")
            // The first ones may have left before the other server was there.
            #expect(received.count >= 500)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func theBusKnowsTheServersNameAndTellsItOfMessagesThatAreTooLong() async throws {
        let redis = try await RedisServerProcess.start()
        let configuration = RedisBus.Configuration.quick {
            $0.serverName = ""
            $0.maximumMessageSize = 1 << 20
        }
        try await withBuses([[try RedisNode(redis.url)]], configuration) { buses in
            let bus = buses[0]
            let recorder = BusRecorder()
            bus.onHealthChange { recorder.add($0) }
            let adapter = WebSocketCrossServerAdapter(serverName: "a", bus: bus)
            let running = Task { try await adapter.run() }
            try await adapter.waitForBus(within: .seconds(60))
            #expect(!recorder.reports.isEmpty)
            #expect(recorder.reports.allSatisfy { $0.serverName == "a" })
            try redis.cli("-x", "PUBLISH", "csbp:server_bridge", input: Data(repeating: 0x78, count: 3 << 20))
            try await eventually("counted") { adapter.statistics.cluster.invalidMessages == 1 }
            #expect(bus.statistics.tooLarge == 1)
            running.cancel()
            try await running.value
        }
    }

    /// With the order of the others, behind which it takes its place.
    @Test(.timeLimit(.minutes(3)))
    func whileRedisIsAwayTheNewestOfAKeyWaits() async throws {
        let redis = try RedisServerProcess()
        try await redis.start()
        let node = try RedisNode(redis.url)
        try await withBuses([[node], [node]], connections: .again(2...2)) { buses in
            let servers = zip(["a", "b"], buses).map { WebSocketCrossServerAdapter(serverName: $0, bus: $1) }
            let scores = Mutex<[String]>([])
            servers[1].onCrossServerEvent("score") { event, _ in scores.withLock { $0.append(event.payload.json) } }
            let running = servers.map { server in Task { try await server.run() } }
            defer { for task in running { task.cancel() } }
            try await eventually("both servers") { servers.allSatisfy { $0.servers.count == 2 } }
            redis.kill()
            try await eventually("that nothing can be sent") { !servers[0].busLinks.contains { $0.canPublish } }
            func send(_ score: Payload, _ key: String? = nil) throws {
                let delivery =
                    key.map { WebSocketCrossServerAdapter.Configuration.Delivery.latest(key: $0) } ?? .ordered
                try servers[0].emitCrossServer("score", score, exceptSelf: true, delivery: delivery)
            }
            #expect(throws: CrossServerError.self) { try send(0, "") }
            for number in 1...1_000 {
                try send(["left", Payload(number)], "left")
                try send(["right", Payload(number)], "right")
                if number == 999 { try send("end soon") }
            }
            try await redis.start()
            let expected = [#""end soon""#, #"["left",1000]"#, #"["right",1000]"#]
            try await eventually("the newest") { scores.withLock { $0.count >= 3 } }
            #expect(scores.withLock { $0 } == expected)
            #expect(await servers[0].deliveryLedger.replaced == 1_998)
        }
    }

    /// Who called has gone on long ago: so it is told.
    @Test(.timeLimit(.minutes(3)))
    func whatWaitedInVainIsReported() async throws {
        let server = try RedisServerProcess()
        try await withBuses([[try RedisNode(server.url)]], connections: .neverAgain) { buses in
            let adapter = WebSocketCrossServerAdapter(serverName: "a", bus: buses[0])
            var unsent = adapter.unsentMessages.makeAsyncIterator()
            let running = Task { try await adapter.run() }
            try adapter.broadcast("note", 1)
            try adapter.broadcastToRoom("r", in: "chat", "note", 2)
            for channel in ["ws:broadcast", "ws:chat"] {
                let message = await unsent.next()
                #expect(message?.channel == channel)
                #expect(message?.error.code == .busUnavailable)
            }
            try adapter.broadcast("note", 3)
            running.cancel()
            #expect(await unsent.next()?.channel == "ws:broadcast")
            #expect(await unsent.next()?.channel == nil)
            #expect(await adapter.deliveryLedger.refused == 3)
            #expect(adapter.statistics.cluster.messagesNotSent == 3)
            try await running.value
        }
    }

    /// Without delivery rules none is kept for later, and none waits for its timeout.
    @Test(.timeLimit(.minutes(3)))
    func eventsBeforeTheFirstConnectionFailAtOnce() async throws {
        let server = try RedisServerProcess()
        try await withBuses([[try RedisNode(server.url)]], connections: .neverAgain) { buses in
            var configuration = WebSocketCrossServerAdapter.Configuration()
            configuration.cluster.delivery = .bestEffort
            let adapter = WebSocketCrossServerAdapter(serverName: "a", bus: buses[0], configuration: configuration)
            let handled = Mutex(0)
            adapter.onCrossServerEvent("x") { _, reply in
                handled.withLock { $0 += 1 }
                reply?("here")
            }
            try await self.allFail(adapter)
            let running = Task { try await adapter.run() }
            defer { running.cancel() }
            try await self.allFail(adapter)
            #expect(handled.withLock { $0 } == 0)
            // This server needs no bus to answer itself.
            let own = try await adapter.emitCrossServer("x", timeout: .seconds(100))
            #expect(own.replies == ["a": "here"])
            #expect(own.missing.count == 1)
            try await server.start()
            try await adapter.waitForBus(within: .seconds(60))
            let receivers = try await adapter.emitCrossServerConfirmed("x", exceptSelf: true)
            #expect(receivers == 0)
            #expect(adapter.statistics.cluster.outstandingRequests == 0)
            #expect(adapter.statistics.cluster.messagesSent == 1)
        }
    }

    private func allFail(_ adapter: WebSocketCrossServerAdapter) async throws {
        let clock = ContinuousClock()
        let start = clock.now
        for number in 0..<1_000 {
            let payload = Payload(number)
            let event = #expect(throws: CrossServerError.self) {
                try adapter.emitCrossServer("x", payload, exceptSelf: true)
            }
            #expect(event?.code == .busUnavailable)
            let request = await #expect(throws: CrossServerError.self) {
                try await adapter.emitCrossServer("x", payload, to: .server("b"), timeout: .seconds(100))
            }
            #expect(request?.code == .busUnavailable)
        }
        #expect(clock.now - start < .seconds(50))
        #expect(adapter.statistics.cluster.outstandingRequests == 0)
    }
}
