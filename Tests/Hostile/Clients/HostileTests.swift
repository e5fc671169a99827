import Foundation
import Testing

@testable import CrossServerCommandTests

extension EndToEnd {
    /// Attacks over bare sockets; what each is and what must come of it stands in Tests/Clients/hostile_*.py.
    @Suite
    struct HostileTests {
        static let systemEvents = [
            "connection", "close", "error", "pong", "message", "client-ping", "server-error", "listening",
            "ws-server-close",
        ]
        static let inheritedNames = ["constructor", "__proto__", "toString", "hasOwnProperty"]
        static let messages = [
            "invalid JSON", "callback ids", "binary", "nesting", "huge numbers", "lone surrogates", "long names",
        ]
        static let frames = [
            "unmasked", "reserved bits", "reserved opcodes", "invalid UTF-8", "invalid UTF-8 in fragments", "oversize",
            "too many fragments", "length", "control frames", "fragments", "close codes", "close reason", "valid close",
            "control flood",
        ]
        static let handshakes = [
            "plain GET", "wrong version", "head too large", "bad key", "bad head", "not a GET", "not an upgrade",
            "old HTTP",
        ]

        @Test(.timeLimit(.minutes(2)), arguments: Self.systemEvents + Self.inheritedNames)
        func reservedEventName(_ name: String) async throws {
            try await self.attack("messages: event \(name)")
        }

        @Test(.timeLimit(.minutes(2)), arguments: Self.messages)
        func message(_ name: String) async throws {
            try await self.attack("messages: \(name)")
        }

        @Test(.timeLimit(.minutes(2)), arguments: Self.frames)
        func frame(_ name: String) async throws {
            try await self.attack("frames: \(name)")
        }

        @Test(.timeLimit(.minutes(2)), arguments: Self.handshakes)
        func handshake(_ name: String) async throws {
            try await self.attack("connections: \(name)")
        }

        @Test(.timeLimit(.minutes(2)), arguments: ["garbage", "unfinished handshake"])
        func unfinishedHandshake(_ name: String) async throws {
            try await self.attack("connections: \(name)", serve: ["--handshake-timeout", "2"])
        }

        @Test(.timeLimit(.minutes(2)))
        func halfOpen() async throws {
            try await self.attack("connections: half-open", serve: ["--ping-interval", "2"])
        }

        @Test(.timeLimit(.minutes(2)), arguments: ["stale close", "crowd"])
        func connection(_ name: String) async throws {
            try await self.attack("connections: \(name)")
        }

        @Test(.timeLimit(.minutes(5)))
        func slowReader() async throws {
            try await self.attack("connections: slow reader", within: .seconds(280))
        }

        @Test(.timeLimit(.minutes(1)))
        func everyAttackIsATest() async throws {
            let listed = try await ExternalProgram.run(Tools.python, [Tools.script("hostile.py"), "--list"])
            let tested =
                (Self.systemEvents + Self.inheritedNames).map { "messages: event \($0)" }
                + Self.messages.map { "messages: \($0)" } + Self.frames.map { "frames: \($0)" }
                + Self.handshakes.map { "connections: \($0)" }
                + ["garbage", "unfinished handshake", "half-open", "stale close", "slow reader", "crowd"]
                .map { "connections: \($0)" }
            #expect(Set(listed.split(separator: "\n").map(String.init)) == Set(tested))
        }

        private func attack(_ name: String, serve: [String] = [], within limit: Duration = .seconds(100)) async throws {
            try await withServe(serve) { server in
                let target = [
                    "--port", "\(server.port)", "--pid", "\(server.program.processIdentifier)",
                    "--log", server.program.standardErrorFile.path,
                ]
                try await ExternalProgram.run(
                    Tools.python,
                    [Tools.script("hostile.py")] + target + [name],
                    within: limit
                )
            }
        }
    }
}
