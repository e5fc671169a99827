import CrossServerTesting
import NIOCore
import Testing

@Suite struct ChatExampleTests {
    private static let servers = ["serverA", "serverB", "serverC", "serverD", "serverE"]

    @Test(.timeLimit(.minutes(3)))
    func fiftyClientsOfFiveServersHearWhatIsForThem() async throws {
        try await withBroker { broker in
            let nodes = try Program("chat-nodes", ["--port", "0", "--redis", broker])
            defer { nodes.terminate() }
            var ports: [String] = []
            for server in Self.servers { ports.append(try await nodes.line("\(server) listens at port ")) }

            let clients = try Program("chat-clients", ports.flatMap { ["--port", $0] })
            defer { clients.terminate() }
            for id in 1...50 { _ = try await clients.line("client \(id) is connected to port ") }
            let members = Regex(#/client (\d+) joined room (\d+): you are in room \d+/#)
            try await eventually { try clients.said.matches(of: members).count == 10 }
            var expected: [String: [String]] = [:]
            for id in 1...50 { expected["\(id)"] = ["broadcast: hello everyone", "broadcast: the end"] }
            expected["13"]?.append("toPlayer: hello client 13")
            for id in ["3", "10", "25", "37"] { expected[id]?.append("toPlayers: hello you four") }
            for match in try clients.said.matches(of: members) where match.output[2].substring == "1000" {
                expected[String(match.output[1].substring ?? ""), default: []].append("toRoom: hello room 1000")
            }

            let control = try await Program("chat-control", ["--port", ports[0], "--interval", "0.1"]).output()
            for action in ["broadcast", "toPlayer", "toPlayers", "toRoom"] {
                #expect(control.contains("\(action): \(action) is sent\n"))
            }
            #expect(control.contains("555 hears broadcast: hello everyone\n"))
            // What would come twice, or should not come at all, is there when this is, which is sent later.
            try await Self.sayToAll("the end", at: ports[4])
            for id in 1...50 {
                let client = "client \(id) hears "
                try await eventually { try clients.lines(client).contains("broadcast: the end") }
                #expect(try clients.lines(client).sorted() == expected["\(id)"]?.sorted(), "client \(id)")
            }
        }
    }

    private static func sayToAll(_ msg: String, at port: String) async throws {
        let address = try SocketAddress(ipAddress: "127.0.0.1", port: try #require(Int(port)))
        let client = try await TestClient.connect(to: address, target: "/?id=test")
        let reply = try await client.request("command", ["action": "broadcast", "msg": .init(msg)])
        #expect(reply == ["msg": "broadcast is sent"])
    }
}
