import Foundation
import Testing

/// A client that we did not write, with the program that lets it hold the conversations of the contract.
enum ConversationClient: String, CaseIterable {
    case nodeWs, pythonWebsockets, pythonWebsocketsDeflate, chromium

    private static let browserConversations = [
        "echo", "replyBytes", "say", "rooms", "broadcast", "toPlayer", "toPlayers", "toRoom", "commandErrors", "noId",
        "sameId", "heartbeat", "binary", "close",
    ]

    var conversations: [String] {
        switch self {
        case .nodeWs: Self.browserConversations + ["fragments", "pingPong"]
        case .chromium: ["twoPages"] + Self.browserConversations
        case .pythonWebsockets, .pythonWebsocketsDeflate:
            [
                "echo", "replies", "pipelined", "rooms", "commands", "noId", "sameId", "heartbeat", "binary",
                "fragments", "pingPong", "close",
            ]
        }
    }

    /// Holds conversations and shows that each was held.
    func hold(_ conversations: [String], at url: String) async throws {
        let said: String
        switch self {
        case .nodeWs:
            said = try await ExternalProgram.run(
                Tools.program("node"),
                [Tools.script("node-ws.js"), url] + conversations,
                environment: ["NODE_PATH": "/usr/share/nodejs"]
            )
        case .pythonWebsockets:
            said = try await self.python("python-websockets.py", [url] + conversations)
        case .pythonWebsocketsDeflate:
            said = try await self.python("python-websockets.py", ["--deflate", url] + conversations)
        case .chromium:
            said = try await self.python("browser.py", [url] + conversations)
        }
        #expect(said.split(separator: "\n") == conversations.map { "ok \($0)" })
    }

    private func python(_ script: String, _ arguments: [String]) async throws -> String {
        try await ExternalProgram.run(Tools.python, [Tools.script(script)] + arguments)
    }
}

extension EndToEnd {
    @Suite
    struct ConversationTests {
        @Test(.timeLimit(.minutes(3)), arguments: [ConversationClient.nodeWs, .pythonWebsockets, .chromium])
        func withoutCompression(_ client: ConversationClient) async throws {
            try await withServe(["--allow-origin", "null"]) { try await client.hold(client.conversations, at: $0.url) }
        }

        @Test(.timeLimit(.minutes(3)), arguments: ConversationClient.allCases)
        func whenTheServerAcceptsCompression(_ client: ConversationClient) async throws {
            // Chromium opens the page from a file.
            try await withServe(["--compression", "--allow-origin", "null"]) {
                try await client.hold(client.conversations, at: $0.url)
            }
        }

        @Test(.timeLimit(.minutes(2)), arguments: [ConversationClient.nodeWs, .chromium])
        func heartbeatText(_ client: ConversationClient) async throws {
            try await withServe(["--heartbeat", #"{"type":"hb"}"#, "--allow-origin", "null"]) {
                try await client.hold(["heartbeatText"], at: $0.url)
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func wscat() async throws {
            _ = try Tools.program("wscat")
            try await withServe { server in
                try await ExternalProgram.run(Tools.python, [Tools.script("wscat.py"), server.url])
            }
        }
    }
}
