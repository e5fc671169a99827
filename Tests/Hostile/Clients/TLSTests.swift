import Foundation
import Testing

@testable import CrossServerCommandTests

extension EndToEnd {
    /// What the command agrees to in a TLS handshake, as a server, as a client and with Redis.
    @Suite
    struct TLSTests {
        /// Options of openssl, and whether there may be a connection: TLS 1.2 and later, with forward secrecy and AEAD.
        static let offers: [([String], Bool)] = [
            (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], false),
            (["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA"], false),
            (["-tls1_2", "-cipher", "AES128-GCM-SHA256"], false),
            (["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], true), (["-tls1_3"], true),
        ]

        /// A directory with `key.pem` and a certificate of RSA, `cert.pem`.
        private static func certificate() async throws -> URL {
            let directory = FileManager.default.temporaryDirectory.appending(path: "tls-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
            try await ExternalProgram.run(
                Tools.program("openssl"),
                ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
                    + ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
                    + ["-keyout", directory.appending(path: "key.pem").path]
                    + ["-out", directory.appending(path: "cert.pem").path]
            )
            return directory
        }

        private static func files(in directory: URL) -> [String] {
            [
                "--tls-certificate", directory.appending(path: "cert.pem").path,
                "--tls-key", directory.appending(path: "key.pem").path,
            ]
        }

        @Test(.timeLimit(.minutes(2)), arguments: [[], ["--page"]] as [[String]])
        func theServer(options: [String]) async throws {
            let directory = try await Self.certificate()
            defer { try? FileManager.default.removeItem(at: directory) }  // the system clears what is left
            try await withServe(Self.files(in: directory) + options) { server in
                for (offer, isAccepted) in Self.offers {
                    let client = try ExternalProgram(
                        Tools.program("openssl"),
                        ["s_client", "-connect", "127.0.0.1:\(server.port)"] + offer
                    )
                    _ = try await client.exitStatus(within: .seconds(30))
                    let isAgreed = client.standardOutput.contains(/Cipher is [^(]/)
                    #expect(isAgreed == isAccepted, "\(offer): \(client.standardOutput)")
                }
            }
        }

        /// See Tests/Clients/tls_half_close.py.
        @Test(.timeLimit(.minutes(2)), arguments: [[], ["--page"]] as [[String]])
        func aClientThatSendsNoMoreIsAnswered(options: [String]) async throws {
            let directory = try await Self.certificate()
            defer { try? FileManager.default.removeItem(at: directory) }  // the system clears what is left
            try await withServe(Self.files(in: directory) + options) { server in
                let script = [try Tools.script("tls_half_close.py"), "\(server.port)"]
                let said = try await ExternalProgram.run(Tools.python, script)
                #expect(said.split(separator: "\n").count == 4)
            }
        }

        private enum Client: CaseIterable { case connect, redis }

        @Test(.timeLimit(.minutes(2)), arguments: Client.allCases)
        private func theClients(_ kind: Client) async throws {
            let directory = try await Self.certificate()
            defer { try? FileManager.default.removeItem(at: directory) }  // the system clears what is left
            for (offer, isAccepted) in Self.offers {
                let port = Int.random(in: 32_700..<32_760)
                // A pipe that stays open: at the end of its input it would stop.
                let server = try ExternalProgram(
                    Tools.program("sh"),
                    ["-c", #"sleep 60 | "$@""#, "sh", Tools.program("openssl").path, "s_server", "-4"]
                        + ["-accept", "\(port)", "-cert", directory.appending(path: "cert.pem").path]
                        + ["-key", directory.appending(path: "key.pem").path, "-naccept", "1"] + offer
                )
                try await server.wait(.seconds(30), for: "ACCEPT") { server.standardOutput.contains("ACCEPT") }
                let authority = directory.appending(path: "cert.pem").path
                let arguments =
                    switch kind {
                    case .connect: ["connect", "wss://localhost:\(port)", "--ca", authority]
                    case .redis: ["emit", "echo", "--redis", "rediss://localhost:\(port)?ca=\(authority)"]
                    }
                let client = try ExternalProgram(Tools.crossserver, arguments)
                try await server.wait(.seconds(60), for: "a handshake") {
                    server.standardOutput.contains(/CIPHER is|ERROR/) || server.standardError.contains("error")
                }
                #expect(server.standardOutput.contains("CIPHER is") == isAccepted, "\(offer): \(server.standardOutput)")
                client.send(signal: SIGKILL)
                server.send(signal: SIGKILL)
            }
        }
    }
}
