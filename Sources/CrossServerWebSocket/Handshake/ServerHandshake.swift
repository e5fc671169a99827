import HTTPTypes

/// The server's part of the opening handshake (RFC 6455, section 4.2).
public enum ServerHandshake {
    /// Checks the request and negotiates.
    ///
    /// A request that does not ask for a WebSocket is answered with 426, one that asks wrongly with 400. Subprotocols and
    /// extensions that are not understood are declined.
    ///
    /// - Parameters:
    ///   - subprotocol: the one that the application chose; left out when the client did not offer it.
    ///   - deflate: nil declines compression.
    public static func accept(
        _ request: UpgradeRequest,
        subprotocol: String? = nil,
        deflate: PerMessageDeflate? = nil
    ) throws(UpgradeRejection) -> UpgradeAcceptance {
        let key = try Self.check(request)

        var acceptance = UpgradeAcceptance(headers: [
            .upgrade: "websocket",
            .connection: "Upgrade",
            .secWebSocketAccept: HandshakeKey.accept(for: key),
        ])
        if let subprotocol, request.subprotocols.contains(subprotocol) {
            acceptance.subprotocol = subprotocol
            acceptance.headers[.secWebSocketProtocol] = subprotocol
        }
        if let deflate,
            let accepted = deflate.accept(ExtensionOffer.understood(request.headers[values: .secWebSocketExtensions]))
        {
            acceptance.deflate = accepted.negotiated
            acceptance.headers[.secWebSocketExtensions] = accepted.answer
        }
        return acceptance
    }

    /// Checks RFC 6455, section 4.2.1.
    ///
    /// - Returns: the client's key.
    private static func check(_ request: UpgradeRequest) throws(UpgradeRejection) -> String {
        let headers = request.headers
        guard request.method == "GET" else { throw .methodNotAllowed }
        if headers.contains(.transferEncodingField) || headers[values: .contentLength].contains(where: { $0 != "0" }) {
            throw .badRequest("A handshake has no body")
        }
        guard Self.list(headers[values: .upgrade], contains: "websocket") else { throw .upgradeRequired }
        guard Self.list(headers[values: .connection], contains: "upgrade") else {
            throw .badRequest("Connection does not name upgrade")
        }
        guard headers[values: .hostField].count == 1 else { throw .badRequest("Host is missing or there twice") }
        guard headers[values: .secWebSocketVersion] == ["13"] else {
            var rejection = UpgradeRejection.badRequest()
            rejection.headers[.secWebSocketVersion] = "13"
            throw rejection
        }
        let keys = headers[values: .secWebSocketKey]
        guard keys.count == 1, HandshakeKey.isValid(keys[0]) else { throw .badRequest("Invalid Sec-WebSocket-Key") }
        return keys[0]
    }

    static func list(_ values: [String], contains token: String) -> Bool {
        values.contains { value in
            Substring(value).utf8.split(separator: UInt8(ascii: ",")).contains { member in
                Substring(HTTPTokens.trimmed(member)).lowercased() == token
            }
        }
    }
}
