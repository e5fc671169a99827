import Foundation
import Testing

extension EndToEnd {
    /// Our client in JavaScript: its own tests, and what it does with `crossserver serve` in Node and in a browser.
    @Suite
    struct JavaScriptClientTests {
        enum Form: String, CaseIterable {
            case node, script, module

            func hold(_ conversations: [String], at url: String) async throws {
                let said: String
                switch self {
                case .node:
                    said = try await ExternalProgram.run(
                        Tools.program("node"),
                        [Tools.script("connector-node.js"), url] + conversations,
                        environment: ["NODE_PATH": "/usr/share/nodejs"]
                    )
                case .script, .module:
                    let script = try Tools.script("connector-browser.py")
                    said = try await ExternalProgram.run(Tools.python, [script, self.rawValue, url] + conversations)
                }
                #expect(said.split(separator: "\n") == conversations.map { "ok \($0)" })
            }
        }

        @Test(.timeLimit(.minutes(3)), arguments: Form.allCases)
        func conversations(_ form: Form) async throws {
            try await withServe {
                try await form.hold(
                    [
                        "replies", "failures", "messages", "closes", "heartbeats", "reconnects", "unreachable",
                        "frozen", "brokenProtocol",
                    ],
                    at: $0.url
                )
            }
        }

        @Test(.timeLimit(.minutes(2)), arguments: Form.allCases)
        func heartbeatText(_ form: Form) async throws {
            try await withServe(["--heartbeat", #"{"type":"hb"}"#]) {
                try await form.hold(["heartbeatText"], at: $0.url)
            }
        }

        @Test(.timeLimit(.minutes(5)), arguments: ["connector", "connection", "conformance"])
        func itsOwnTests(_ name: String) async throws {
            _ = try Tools.program("tsc")
            let file = Tools.packageRoot.appending(path: "Clients/javascript/test/\(name).test.js")
            let said = try await ExternalProgram.run(
                Tools.program("node"),
                ["--test", "--test-reporter", "tap", file.path],
                environment: ["NODE_PATH": "/usr/share/nodejs"],
                within: .seconds(250)
            )
            #expect(said.contains("\n# fail 0\n") && !said.contains("\n# pass 0\n"))
        }
    }
}
