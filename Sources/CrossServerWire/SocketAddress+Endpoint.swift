package import NIOCore

/// `host:port` as URLs and people write it: an IPv6 address stands in brackets (RFC 3986, section 3.2.2).
package func endpoint(host: String, port: Int) -> String {
    host.contains(":") && !host.hasPrefix("[") ? "[\(host)]:\(port)" : "\(host):\(port)"
}

extension SocketAddress {
    /// `127.0.0.1:9000`, `[::1]:9000`, or the path of a Unix domain socket, which clients of one do not have.
    package var endpoint: String {
        if let address = self.ipAddress, let port = self.port {
            return CrossServerWire.endpoint(host: address, port: port)
        }
        guard let path = self.pathname, !path.isEmpty else { return "local" }
        return LogText.escaped(path)
    }
}
