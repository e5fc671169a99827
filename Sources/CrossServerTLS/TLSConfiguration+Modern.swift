package import NIOSSL

extension TLSConfiguration {
    /// Forward secrecy and AEAD: what is left of TLS 1.2 without RSA key exchange and CBC. All of TLS 1.3 is so.
    private static let modernCipherSuites = "ECDHE+AESGCM:ECDHE+CHACHA20"
    /// What a configuration has whose cipher suites nobody has chosen.
    private static let untouchedCipherSuites = TLSConfiguration.makeClientConfiguration().cipherSuites

    /// At least TLS 1.2, and with cipher suites that nobody has chosen, those with forward secrecy and AEAD only (RFC 9325,
    /// section 4.2). Every connection of this package, of either side, goes through here.
    package var modern: TLSConfiguration {
        var configuration = self
        if [.tlsv1, .tlsv11].contains(self.minimumTLSVersion) { configuration.minimumTLSVersion = .tlsv12 }
        if self.cipherSuites == Self.untouchedCipherSuites { configuration.cipherSuites = Self.modernCipherSuites }
        return configuration
    }
}
