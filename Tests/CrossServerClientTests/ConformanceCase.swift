import CrossServerClient
import CrossServerWebSocket
import CrossServerWire
import Foundation
import HTTPTypes
import Testing

/// One entry of the table that the clients of the project share: `Clients/conformance/README.md` says what it means.
struct ConformanceCase: Sendable, CustomTestStringConvertible {
    private static let table = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Clients/conformance/cases.json")

    let name: String
    let entry: Payload
    let commonOptions: Payload

    static func all() throws -> [ConformanceCase] {
        let table = try Self.readTable()
        return try (table["cases"]?.array ?? []).map { entry in
            ConformanceCase(
                name: try #require(entry["name"]?.string),
                entry: entry,
                commonOptions: try #require(table["options"])
            )
        }
    }

    static func delays() throws -> [Payload] {
        let table = try Self.readTable()
        return try #require(table["delays"]?.array)
    }

    private static func readTable() throws -> Payload {
        try Payload(json: String(contentsOf: Self.table, encoding: .utf8))
    }

    var testDescription: String { self.name }

    var steps: [Payload] { self.entry["steps"]?.array ?? [] }
    var answers: [Payload] { self.entry["answers"]?.array ?? [] }
    var ignoresRest: Bool { self.entry["ignoresRest"] == true }
    var ignoresReceived: Bool { self.ignoresRest || self.entry["ignoresReceived"] == true }

    func names(_ key: String) -> [String] {
        self.entry[key]?.array?.compactMap(\.string) ?? []
    }

    func parameters() throws -> QueryParameters {
        var parameters = QueryParameters()
        for pair in self.entry["params"]?.array ?? [] {
            let pair = try pair.decode([String].self)
            parameters.append(pair[0], pair[1])
        }
        return parameters
    }

    func configuration() throws -> WebSocketConnector.Configuration {
        var configuration = WebSocketConnector.Configuration()
        for options in [self.commonOptions, self.entry["options"]].compactMap({ $0 }) {
            for (name, path) in Self.durations {
                if let value = options[name] {
                    configuration[keyPath: path] = .milliseconds(try value.decode(Int.self))
                }
            }
            for (name, path) in Self.counts {
                if let value = options[name] { configuration[keyPath: path] = try value.decode() }
            }
            if let limit = options["repeatLimit"] { configuration.repeatLimit = try limit.decode(Int.self) }
            if let text = options["pingMsg"]?.string { configuration.pingMessage = text }
        }
        return configuration
    }

    private static var durations: [(String, WritableKeyPath<WebSocketConnector.Configuration, Duration>)] {
        [
            ("pingInterval", \.pingInterval), ("pongTimeout", \.pongTimeout),
            ("fastReconnectInterval", \.fastReconnectInterval), ("reconnectMaxInterval", \.reconnectMaximumInterval),
            ("callbackTimeout", \.callbackTimeout), ("pendingTimeout", \.pendingTimeout),
            ("connectTimeout", \.connectTimeout), ("closeTimeout", \.closeTimeout),
        ]
    }

    private static var counts: [(String, WritableKeyPath<WebSocketConnector.Configuration, Int>)] {
        [
            ("fastReconnectThreshold", \.fastReconnectThreshold),
            ("maximumPendingRequests", \.maximumPendingRequests),
        ]
    }

    /// The server of the case; what it receives goes to `received`.
    func script(received: @escaping @Sendable (String) -> Void) throws -> ScriptedServer.Script {
        var script = ScriptedServer.Script(onMessage: { _, text in received(text) })
        switch self.entry["server"]?.string {
        case nil: break
        case "mute": script.answersHeartbeat = false
        case "frozen": script.isFrozen = true
        case "silent": script.handshake = .silent
        case "refuses":
            var refusal = UpgradeRejection.serviceUnavailable
            if let status = self.entry["status"] { refusal.status = try status.decode() }
            if let seconds = self.entry["retryAfter"] { refusal.headers[.retryAfter] = seconds.json }
            script.handshake = .reject(refusal)
        case let kind?: throw UnknownStep(description: "server \(kind)")
        }
        return script
    }
}

struct UnknownStep: Error, CustomStringConvertible {
    var description: String
}
