/// Reads the reply to CLUSTER NODES.
enum RedisClusterNodes {
    /// Addresses of the members that can be connected to, at most 1,000.
    ///
    /// A line is `<id> <ip:port@bus-port[,host name]> <flags> …`. A member whose address is empty is the one asked.
    static func members(in text: String) -> [RedisAddress] {
        var members: [RedisAddress] = []
        for line in text.split(whereSeparator: \.isNewline).prefix(1_000) {
            let fields = line.split(separator: " ")
            guard fields.count >= 8 else { continue }
            let flags = fields[2].split(separator: ",")
            if flags.contains(where: { ["fail", "fail?", "handshake", "noaddr"].contains($0) }) { continue }
            let address = fields[1].prefix { $0 != "@" && $0 != "," }
            guard let colon = address.lastIndex(of: ":"), colon != address.startIndex,
                let port = Int(address[address.index(after: colon)...]), 1...65_535 ~= port
            else { continue }
            members.append(.tcp(host: String(address[..<colon]), port: port))
        }
        return members
    }
}
