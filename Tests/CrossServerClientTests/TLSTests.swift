import CrossServer
import CrossServerClient
import CrossServerTesting
import Logging
import NIOSSL
import Testing

@Suite struct TLSTests {
    private func withSecureServer(
        names: String,
        _ body: (_ port: Int, TestCertificates) async throws -> Void
    ) async throws {
        let certificates = try TestCertificates(names: names)
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.tls = certificates.server
        try await withServer(configuration: configuration) { adapter in
            adapter.onWebSocketEvent("echo") { _, payload, reply in reply?(payload) }
        } run: { server in
            try await body(server.port, certificates)
        }
    }

    private static func trusting(_ authority: NIOSSLCertificate?) -> WebSocketConnector.Configuration {
        .quick {
            $0.tls = .makeClientConfiguration()
            if let authority { $0.tls?.trustRoots = .certificates([authority]) }
            $0.repeatLimit = 0
        }
    }

    @Test(.timeLimit(.minutes(2)), arguments: ["localhost", "127.0.0.1"])
    func aCertificateOfAnAuthorityThatIsTrusted(host: String) async throws {
        try await self.withSecureServer(names: "DNS:localhost,IP:127.0.0.1") { port, certificates in
            try await withClient("wss://\(host):\(port)", Self.trusting(certificates.authority)) { client, log in
                try await log.wait(for: "open")
                let payload = Payload(String(repeating: "x", count: 300_000))
                #expect(try await client.emit("echo", payload) == payload)
                client.manualClose()
                try await log.wait(for: "close 4001 client manual close")
                #expect(log.count("error") == 0)
            }
        }
    }

    @Test(
        .timeLimit(.minutes(2)),
        arguments: [
            ("localhost", "DNS:other.example", true), ("127.0.0.1", "DNS:localhost,IP:10.0.0.1", true),
            ("localhost", "DNS:localhost,IP:127.0.0.1", false),
        ]
    )
    func aCertificateThatDoesNotFitIsRefused(host: String, names: String, isTrusted: Bool) async throws {
        try await self.withSecureServer(names: names) { port, certificates in
            let client = try WebSocketConnector(
                url: "wss://\(host):\(port)",
                configuration: Self.trusting(isTrusted ? certificates.authority : nil),
                logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
            )
            let log = EventLog(of: client)
            client.on(.repeatLimit) { [weak client] _ in client?.manualClose() }
            try await client.run()
            #expect(log.all == ["error", "repeat-limit 0"])
        }
    }

    @Test(.timeLimit(.minutes(2)))
    func verificationCanBeTurnedOff() async throws {
        try await self.withSecureServer(names: "DNS:other.example") { port, _ in
            let configuration = WebSocketConnector.Configuration.quick {
                $0.tls = .makeClientConfiguration()
                $0.tls?.certificateVerification = .none
            }
            try await withClient("wss://localhost:\(port)", configuration) { client, log in
                try await log.wait(for: "open")
                #expect(try await client.emit("echo", 1) == 1)
            }
        }
    }
}
