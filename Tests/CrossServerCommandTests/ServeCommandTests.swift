import Foundation
import Testing

extension EndToEnd {
    /// `crossserver serve` as a process: its options, its output and its end.
    @Suite
    struct ServeCommandTests {
        @Test(.timeLimit(.minutes(2)), arguments: [SIGTERM, SIGINT])
        func stopsGracefully(_ signal: Int32) async throws {
            let server = try await ServeProcess.start()
            let arguments = ["\(server.port)", "\(server.program.processIdentifier)", "\(signal)"]
            do {
                try await ExternalProgram.run(Tools.python, [Tools.script("graceful_stop.py")] + arguments)
            } catch {
                throw server.program.failure("served while this failed: \(error)")
            }
            try await server.stopped()
        }

        @Test(.timeLimit(.minutes(1)), arguments: [SIGTERM, SIGINT])
        func stopsWithoutClients(_ signal: Int32) async throws {
            let server = try await ServeProcess.start()
            try await server.stop(signal: signal)
        }

        @Test(.timeLimit(.minutes(1)))
        func portInUse() async throws {
            try await withServe { server in
                let second = try ExternalProgram(Tools.crossserver, ["serve", "--port", "\(server.port)"])
                let status = try await second.exitStatus(within: .seconds(30))
                #expect(status == 1)
                #expect(second.standardError.contains("\(server.port)"), "\(second.standardError)")
                #expect(second.standardOutput == "")
            }
        }

        @Test(
            .timeLimit(.minutes(1)),
            arguments: [
                ([], "http://127.0.0.1:1", true), ([], "https://elsewhere.example", false),
                (["--allow-origin", "null", "--allow-origin", "elsewhere.example"], "https://elsewhere.example", true),
                (["--allow-origin", "*"], "https://elsewhere.example", true),
                (["--page"], "https://elsewhere.example", false),
                (["--page", "--allow-origin", "https://elsewhere.example"], "https://elsewhere.example", true),
            ] as [([String], String, Bool)]
        )
        func pagesThatMayConnect(options: [String], origin: String, isAllowed: Bool) async throws {
            try await withServe(options) { server in
                let arguments = ["connect", server.url, "--id", "1", "--header", "Origin: \(origin)"]
                let client = try ExternalProgram(Tools.crossserver, arguments)
                let status = try await client.exitStatus(within: .seconds(30))
                #expect(status == (isAllowed ? 0 : 1), "\(client.standardError)")
                #expect(isAllowed || client.standardError.contains("'crossserver serve --allow-origin \(origin)'"))
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func aNameThatOthersWouldNotBelieve() async throws {
            let name = String(repeating: "x", count: 256)
            let server = try ExternalProgram(Tools.crossserver, ["serve", "--port", "0", "--name", name])
            let status = try await server.exitStatus(within: .seconds(30))
            #expect(status == 1)
            #expect(server.standardError.contains("serverName must have 1 to 255 bytes"), "\(server.standardError)")
        }

        @Test(.timeLimit(.minutes(1)), arguments: [[], ["--page"]] as [[String]])
        func anIPv6AddressStandsInBrackets(options: [String]) async throws {
            let server = try ExternalProgram(
                Tools.crossserver,
                ["serve", "--host", "::1", "--port", "0"] + options
            )
            try await server.wait(.seconds(30), for: "the line") { server.standardOutput.hasSuffix("\n") }
            let line = server.standardOutput
            #expect(line.wholeMatch(of: /listening on \[::1\]:[0-9]+\n/) != nil, "\(line)")
            server.send(signal: SIGTERM)
            #expect(try await server.exitStatus(within: .seconds(30)) == 0)
        }

        /// The limit is the hard one too, so that the server cannot raise it.
        @Test(.timeLimit(.minutes(2)), arguments: [[], ["--page"]] as [[String]])
        func restsWithoutFileDescriptors(options: [String]) async throws {
            let server = try Self.serve(files: 48, ["--threads", "1", "--max-connections", "100"] + options)
            try await server.wait(.seconds(30), for: "the line") { server.standardOutput.hasSuffix("\n") }
            let line = server.standardOutput
            let port = try #require(line.firstMatch(of: /:([0-9]+)\n/).flatMap { UInt16($0.1) })
            #expect(server.standardError.contains("the system allows fewer connections"), "\(server.standardError)")
            let sockets = try (0..<64).map { _ in try Self.dial(port) }
            let complaint = "no more connections can be accepted for now"
            try await server.wait(.seconds(30), for: "the complaint") { server.standardError.contains(complaint) }
            for socket in sockets { close(socket) }
            let arguments = ["connect", "ws://127.0.0.1:\(port)", "--id", "1"]
            let client = try ExternalProgram(Tools.crossserver, arguments)
            let status = try await client.exitStatus(within: .seconds(60))
            #expect(status == 0, "\(client.standardError)")
            #expect(server.standardError.matches(of: /no more connections can be accepted/).count <= 3)
            server.send(signal: SIGTERM)
            #expect(try await server.exitStatus(within: .seconds(60)) == 0)
        }

        /// What the server takes by itself fits into its files; more is said only when it was asked for.
        @Test(
            .timeLimit(.minutes(1)),
            arguments: [
                ([], true), (["--page"], true), (["--max-connections", "236"], true),
                (["--max-connections", "237"], false),
            ] as [([String], Bool)]
        )
        func connectionsFitIntoTheFiles(options: [String], isQuiet: Bool) async throws {
            let server = try Self.serve(files: 300, options)
            try await server.wait(.seconds(30), for: "the line") { server.standardOutput.hasSuffix("\n") }
            let warning = "files=300 maximumConnections=237"
            #expect(isQuiet ? server.standardError.isEmpty : server.standardError.contains(warning))
            server.send(signal: SIGTERM)
            #expect(try await server.exitStatus(within: .seconds(60)) == 0)
        }

        private static func serve(files: Int, _ options: [String]) throws -> ExternalProgram {
            let script = #"ulimit -n \#(files); exec "$0" serve --host 127.0.0.1 --port 0 "$@""#
            return try ExternalProgram(Tools.program("sh"), ["-c", script, Tools.crossserver.path] + options)
        }

        private static func dial(_ port: UInt16) throws -> Int32 {
            #if canImport(Darwin)
            let kind = SOCK_STREAM
            #else
            let kind = Int32(SOCK_STREAM.rawValue)
            #endif
            let descriptor = socket(AF_INET, kind, 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            let result = withUnsafePointer(to: address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            guard result == 0 else { throw ProgramFailure(description: "cannot connect: \(errno)") }
            return descriptor
        }

        @Test(.timeLimit(.minutes(1)))
        func hostThatDoesNotExist() async throws {
            let server = try ExternalProgram(
                Tools.crossserver,
                ["serve", "--host", "no.such.host.invalid", "--port", "0"]
            )
            let status = try await server.exitStatus(within: .seconds(30))
            #expect(status == 1)
            #expect(server.standardError.contains("no.such.host.invalid"), "\(server.standardError)")
            #expect(server.standardOutput == "")
        }

        @Test(
            .timeLimit(.minutes(1)),
            arguments: [
                ["--port", "abc"], ["--port", "65536"], ["--port=-1"], ["--port"], ["--host"], ["--heartbeat"],
                ["--handshake-timeout", "soon"], ["--handshake-timeout", "0"], ["--ping-interval=-1"],
                ["--max-message-size", "1e6"], ["--max-connections", "0"], ["--log-level", "loud"],
                ["--tls-certificate", "only.pem"], ["--no-such-option"],
            ]
        )
        func wrongOption(_ arguments: [String]) async throws {
            let server = try ExternalProgram(Tools.crossserver, ["serve"] + arguments)
            let status = try await server.exitStatus(within: .seconds(30))
            let option = try #require(arguments[0].split(separator: "=").first)
            #expect(status == 64)
            #expect(server.standardError.contains(option), "\(server.standardError)")
            #expect(server.standardOutput == "")
        }

        @Test(.timeLimit(.minutes(1)))
        func wrongEnvironmentVariable() async throws {
            let server = try ExternalProgram(Tools.crossserver, ["serve"], environment: ["CROSSSERVER_PORT": "abc"])
            let status = try await server.exitStatus(within: .seconds(30))
            #expect(status == 64)
            #expect(server.standardError.contains("CROSSSERVER_PORT"), "\(server.standardError)")
        }

        @Test(.timeLimit(.minutes(2)))
        func optionFromTheEnvironment() async throws {
            let server = try await ServeProcess.start(environment: ["CROSSSERVER_HEARTBEAT": #"{"type":"hb"}"#])
            try await ConversationClient.nodeWs.hold(["heartbeatText"], at: server.url)
            try await server.stop()
        }

        @Test(
            .timeLimit(.minutes(1)),
            arguments: [
                (["--help"], ["serve", "connect"]),
                (["connect", "--help"], ["URL", "--log-level"]),
                (["serve", "--help"], ["--host", "--port", "--name", "--heartbeat", "--compression", "--log-level"]),
            ]
        )
        func help(_ arguments: [String], _ mentions: [String]) async throws {
            let text = try await ExternalProgram.run(Tools.crossserver, arguments)
            for mention in mentions { #expect(text.contains(mention)) }
            #expect(text.split(separator: "\n").allSatisfy { $0.count <= 120 })
        }
    }
}
