import CrossServerTesting
import CrossServerWire
import NIOCore
import Synchronization
import Testing

@testable import CrossServer

/// Who is silent is cut, and nobody else. Ping intervals pass when a test says so.
@Suite(.timeLimit(.minutes(2))) struct SilenceTests {
    private static var configuration: WebSocketCrossServerAdapter.Configuration {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.pingInterval = .seconds(3_600)
        configuration.limits.outbound.maximumWaitingBytes = 1 << 30
        return configuration
    }

    private static let schedule = LoopConnections.Schedule(
        pingInterval: .hours(1),
        backgroundTimeout: .hours(1),
        handshakeTimeout: .hours(1)
    )

    private func pass(_ adapter: WebSocketCrossServerAdapter) async throws {
        for loop in adapter.loops.all {
            try await loop.eventLoop.submit {
                for connection in loop.connections.all {
                    connection.checkDeadlines(now: connection.nextPing, schedule: Self.schedule)
                }
            }.get()
        }
    }

    /// Waits until the clients' handlers are in place.
    private func open(_ server: RunningServer) async throws -> RawConnection {
        let connection = try await RawConnection.openWebSocket(server.address)
        try await eventually { server.adapter.loops.sum { $0.connections.load(ordering: .relaxed) } == 1 }
        return connection
    }

    @Test func aSilentClientIsCut() async throws {
        try await withServer(configuration: Self.configuration) { server in
            let client = try await self.open(server)
            try await self.pass(server.adapter)
            #expect(server.adapter.socketClientCount == 1)
            // Its system may yet acknowledge what has answered its handshake.
            try await eventually {
                try await self.pass(server.adapter)
                return server.adapter.socketClientCount == 0
            }
            _ = try await client.readToEnd()
        }
    }

    @Test func whoSendsWithoutPongsLives() async throws {
        try await withServer(configuration: Self.configuration) { server in
            let client = try await self.open(server)
            for number in 1...4 {
                try await client.send(RawConnection.frame(#"{"event":"e"}"#))
                try await eventually { server.adapter.statistics.messagesReceived == number }
                try await self.pass(server.adapter)
            }
            #expect(server.adapter.socketClientCount == 1)
        }
    }

    @Test func whoTakesALongTransferLivesAsLongAsItDoes() async throws {
        try await withServer(configuration: Self.configuration) { server in
            let adapter = server.adapter
            let client = try await self.open(server)
            try await client.setReading(false)
            let text = Payload(String(repeating: "x", count: 1 << 20))
            func waiting() async throws -> Int {
                for loop in adapter.loops.all {
                    try await loop.eventLoop.submit {
                        for connection in loop.connections.all { connection.handler?.updateAccount(exactly: true) }
                    }.get()
                }
                return adapter.statistics.memory.sending
            }
            // More than the systems of both ends keep.
            func fill() async throws {
                for _ in 0..<32 { try adapter.broadcast("big", text) }
                try await eventually { try await waiting() > 16 << 20 }
            }
            try await fill()
            try await self.pass(adapter)
            for _ in 0..<3 {
                let before = try await waiting()
                try await client.setReading(true)
                try await eventually { try await waiting() < before }
                try await client.setReading(false)
                try await fill()
                try await self.pass(adapter)
                #expect(adapter.socketClientCount == 1)
            }
            // Now it takes nothing any more.
            try await eventually {
                try await self.pass(adapter)
                return adapter.socketClientCount == 0
            }
        }
    }

    @Test(arguments: [false, true])
    func aClientThatClosesItsHalfGetsItsReply(isAsynchronous: Bool) async throws {
        try await withServer { adapter in
            if isAsynchronous {
                adapter.onWebSocketEvent("echo") { _, payload, reply in
                    try await Task.sleep(for: .milliseconds(5))
                    reply?(payload)
                }
            } else {
                adapter.onWebSocketEvent("echo") { _, payload, reply in reply?(payload) }
            }
        } run: { server in
            for _ in 0..<20 {
                let client = try await RawConnection.open(server.address)
                let request = RawConnection.frame(#"{"event":"echo","payload":"answer","callbackId":"1"}"#)
                try await client.send(Array(RawConnection.upgrade.utf8) + request)
                try await client.closeOutput()
                let text = try await client.readToEnd()
                #expect(text.hasPrefix("HTTP/1.1 101 "))
                #expect(text.contains(#""answer""#) && text.hasSuffix("end of input"))
            }
            try await eventually { server.adapter.socketClientCount == 0 }
        }
    }
}
