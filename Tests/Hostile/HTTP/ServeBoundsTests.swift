import CrossServerTesting
import Foundation
import NIOCore
import Testing

@testable import CrossServerCommandTests

extension EndToEnd {
    /// `crossserver serve`: what pages of other sites, half requests and very many connections come to.
    @Suite
    struct ServeBoundsTests {
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

        private static let half = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1"

        /// Half requests are cut when the time for a handshake is over, and take nobody's place but their own.
        @Test(.timeLimit(.minutes(2)))
        func halfRequestsForTheHealth() async throws {
            let port = Int.random(in: 31_000..<32_000)
            try await withServe(["--health-port", "\(port)"]) { server in
                let address = try SocketAddress(ipAddress: "127.0.0.1", port: port)
                // It begins to listen after the line.
                try await eventually {
                    do { try await RawConnection.open(address).close() } catch is IOError { return false }
                    return true
                }
                var halves: [RawConnection] = []
                while try await Self.answer(at: address).hasPrefix("HTTP/1.1 200 ") {
                    try #require(halves.count < 4_000)
                    for _ in 0..<64 { halves.append(try await Self.begin(Self.half, at: address)) }
                }
                #expect(halves.count >= 256)
                for half in halves { _ = try await half.readToEnd() }
                #expect(try await Self.answer(at: address).hasSuffix("ok\n"))
            }
        }

        /// The answer to a whole request.
        private static func answer(at address: SocketAddress) async throws -> String {
            try await self.begin("\(self.half)\r\nConnection: close\r\n\r\n", at: address).readToEnd()
        }

        private static func begin(_ text: String, at address: SocketAddress) async throws -> RawConnection {
            let connection = try await RawConnection.open(address)
            // One that is refused is closed already.
            do { try await connection.send(text) } catch ChannelError.ioOnClosedChannel {} catch is IOError {}
            return connection
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
    }
}
