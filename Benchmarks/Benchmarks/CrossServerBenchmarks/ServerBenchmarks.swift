import Benchmark
import CrossServer
import CrossServerWebSocket
import CrossServerWire
import Logging
import NIOCore
import NIOEmbedded

func serverBenchmarks() {
    Benchmark("request and reply through the server", configuration: .thousand) { benchmark in
        let server = try EmbeddedServer(clients: 1)
        server.adapter.onWebSocketEvent("echo") { _, payload, reply in reply?(payload) }
        let bytes = ClientFrame.text(#"{"event":"echo","payload":{"msg":"hello"},"callbackId":"k3f-17"}"#)
        benchmark.measure {
            server.channels[0].pipeline.syncOperations.fireChannelRead(NIOAny(bytes))
            server.eventLoop.run()
        }
        blackHole(server.sinks[0].byteCount)
    }

    Benchmark("join and leave a room", configuration: .thousand) { benchmark in
        let server = try EmbeddedServer(clients: 2)
        // A room with others in it, as rooms usually are.
        try server.adapter.joinRoomWithoutWaiting("lobby", in: "chat", "1")
        try benchmark.measure {
            try server.adapter.joinRoomWithoutWaiting("lobby", in: "chat", "0")
            server.adapter.leaveRoom("lobby", in: "chat", "0")
        }
    }

    Benchmark("broadcast to 1000 clients") { benchmark in
        let server = try EmbeddedServer(clients: 1_000)
        try benchmark.measure {
            try server.adapter.broadcast("say", ["msg": "hello"])
            server.eventLoop.run()
        }
        blackHole(server.sinks[999].byteCount)
    }

    Benchmark("broadcast to a room of 1000 clients") { benchmark in
        let server = try EmbeddedServer(clients: 1_000)
        for id in 0..<1_000 { try server.adapter.joinRoomWithoutWaiting("lobby", in: "chat", "\(id)") }
        try benchmark.measure {
            try server.adapter.broadcastToRoom("lobby", in: "chat", "say", ["msg": "hello"])
            server.eventLoop.run()
        }
        blackHole(server.sinks[999].byteCount)
    }
}

/// A server whose clients, with the ids 0 and up, are channels without sockets on one event loop.
private struct EmbeddedServer {
    let adapter: WebSocketCrossServerAdapter
    let eventLoop = EmbeddedEventLoop()
    var channels: [EmbeddedChannel] = []
    var sinks: [Sink] = []

    init(clients: Int) throws {
        self.adapter = WebSocketCrossServerAdapter(
            eventLoopGroup: self.eventLoop,
            logger: Logger(label: "benchmark", factory: { _ in SwiftLogNoOpLogHandler() })
        )
        self.adapter.onWebSocketEvent(.connection) { [weak adapter] socket, request in
            try adapter?.setUserSocket(request.parameters["id"] ?? "", socket)
        }
        for id in 0..<clients {
            let channel = EmbeddedChannel(loop: self.eventLoop)
            let sink = Sink()
            try channel.connect(to: .init(ipAddress: "127.0.0.1", port: 1)).wait()
            try channel.pipeline.syncOperations.addHandler(sink)
            let request = UpgradeRequest(target: "/?id=\(id)")
            try self.adapter.attach(.init(request: request, acceptance: .init()), to: channel)
            self.channels.append(channel)
            self.sinks.append(sink)
        }
        self.eventLoop.run()
    }
}
