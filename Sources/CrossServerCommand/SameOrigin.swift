import CrossServer
import HTTPTypes
import Hummingbird

/// Tells the pages of this machine from those of others, which a browser here may show too.
enum SameOrigin {
    private static let loopback: Set<Substring> = ["127.0.0.1", "localhost", "[::1]"]

    /// Whether the page itself asks, or no page at all. The host must be one of this machine, so that no other name can
    /// be made to point here.
    static func allows(_ request: Request) -> Bool {
        guard let authority = request.head.authority, self.loopback.contains(self.host(authority)) else { return false }
        if let site = HTTPField.Name("Sec-Fetch-Site"), let value = request.headers[site], value != "same-origin" {
            return false
        }
        guard let origin = request.headers[.origin] else { return true }
        return origin == "http://\(authority)"
    }

    /// Whether a page of this machine opens the WebSocket, or no page at all.
    static func allows(_ request: UpgradeRequest) -> Bool {
        guard let origin = request.headers[.origin] else { return true }
        guard origin.hasPrefix("http://") else { return false }
        return self.loopback.contains(self.host(origin.dropFirst("http://".count)))
    }

    /// Without the port.
    private static func host(_ authority: some StringProtocol) -> Substring {
        let authority = Substring(authority)
        guard let colon = authority.lastIndex(of: ":"), authority[colon...].dropFirst().allSatisfy(\.isNumber) else {
            return authority
        }
        return authority[..<colon]
    }
}
