/// The server's part of the opening handshake (RFC 6455, section 4.2).
public enum ServerHandshake {
    /// Checks the request and negotiates.
    ///
    /// - Parameters:
    ///   - subprotocol: the one that the application chose; left out when the client did not offer it.
    ///   - deflate: nil declines compression.
    public static func accept(
        _ request: UpgradeRequest,
        subprotocol: String? = nil,
        deflate: PerMessageDeflate? = nil
    ) throws(UpgradeRejection) -> UpgradeAcceptance {
        throw .upgradeRequired
    }
}
