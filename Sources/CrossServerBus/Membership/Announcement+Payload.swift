package import CrossServerWire

extension Announcement {
    /// The announcement as it travels.
    package var event: CrossServerEvent {
        CrossServerEvent(event: self.kind.rawValue, sender: self.name, payload: self.payload)
    }

    /// - Returns: nil when the event is no announcement, or one that passes the limits.
    package init?(_ event: CrossServerEvent) {
        guard let kind = Kind(rawValue: event.event) else { return nil }
        self.init(kind, name: event.sender, payload: event.payload)
    }

    package var payload: Payload {
        [
            "incarnation": Payload(self.incarnation),
            "number": Payload(Int(clamping: self.number)),
            "uptime": Payload(Int(self.uptime)),
            "via": Payload(self.via),
            "role": self.role == .server ? .absent : Payload(self.role.rawValue),
            "address": self.address.isEmpty ? .absent : Payload(self.address),
            "interval": Payload(Int(self.interval)),
            "connections": self.connections == 0 ? .absent : Payload(self.connections),
            "rooms": self.rooms == 0 ? .absent : Payload(self.rooms),
            "draining": self.isDraining ? true : .absent,
            "clients": self.takesClients ? .absent : false,
            "links": self.links.isEmpty
                ? .absent : Payload(self.links.map { Payload([Payload($0.number), Payload($0.name)]) }),
            "heard": self.heard.isEmpty
                ? .absent : Payload(self.heard.map { Payload([Payload($0.name), Payload($0.incarnation)]) }),
            "nonce": self.nonce.map { Payload($0) } ?? .absent,
            "seal": self.seal.map { Payload($0) } ?? .absent,
            "secret": self.secret.map { Payload($0) } ?? .absent,
            "winner": self.winner.map { Payload($0) } ?? .absent,
        ]
    }

    init?(_ kind: Kind, name: String, payload: Payload) {
        guard Self.isName(name), payload.isObject,
            let incarnation = payload["incarnation"]?.string, Self.isIncarnation(incarnation),
            let number = payload.integer("number", in: 0...1 << 40),
            let uptime = payload.integer("uptime", in: 0...1 << 40),
            let via = payload.integer("via", in: 0...Int(Int32.max)),
            let interval = payload.integer("interval", in: 1...Int(Limits.interval)),
            let connections = payload.integer("connections", in: 0...Int(Int32.max), absent: 0),
            let rooms = payload.integer("rooms", in: 0...Int(Int32.max), absent: 0),
            let role = Member.Role(rawValue: payload["role"]?.string ?? Member.Role.server.rawValue),
            let links = Self.links(payload["links"]),
            let heard = Self.heard(payload["heard"])
        else { return nil }
        self.init(
            kind,
            name: name,
            incarnation: incarnation,
            number: UInt64(number),
            uptime: Int64(uptime),
            via: via
        )
        self.role = role
        self.interval = Int64(interval)
        self.connections = connections
        self.rooms = rooms
        self.isDraining = payload["draining"]?.json == "true"
        self.takesClients = payload["clients"]?.json != "false"
        self.links = links
        self.heard = heard
        if let address = payload["address"]?.string {
            guard address.utf8.count <= Limits.addressLength else { return nil }
            self.address = address
        }
        if let nonce = payload["nonce"]?.string {
            guard nonce.utf8.count <= Limits.nonceLength else { return nil }
            self.nonce = nonce
        }
        self.seal = payload["seal"]?.string
        self.secret = payload["secret"]?.string
        guard [self.seal, self.secret].allSatisfy({ $0.map { $0.utf8.count <= Limits.sealLength } ?? true }) else {
            return nil
        }
        if let winner = payload["winner"]?.string {
            guard Self.isIncarnation(winner) else { return nil }
            self.winner = winner
        }
    }

    private static func isName(_ name: String) -> Bool {
        (1...Limits.nameLength).contains(name.utf8.count) && name.firstControlCharacter == nil
    }

    private static func isIncarnation(_ incarnation: String) -> Bool {
        (1...Limits.incarnationLength).contains(incarnation.utf8.count)
            && incarnation.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x7a).contains($0) }
    }

    private static func links(_ payload: Payload?) -> [HeardLink]? {
        guard let payload else { return [] }
        guard let array = payload.array, array.count <= Limits.links else { return nil }
        var links: [HeardLink] = []
        for element in array {
            guard let pair = element.array, pair.count == 2, let name = pair[1].string, Self.isName(name),
                let number = pair[0].integer(in: 0...Int(Int32.max))
            else { return nil }
            links.append(HeardLink(number: number, name: name))
        }
        return links
    }

    private static func heard(_ payload: Payload?) -> [HeardServer]? {
        guard let payload else { return [] }
        guard let array = payload.array, array.count <= Limits.heard else { return nil }
        var heard: [HeardServer] = []
        for element in array {
            guard let pair = element.array, pair.count == 2, let name = pair[0].string, Self.isName(name),
                let incarnation = pair[1].string, Self.isIncarnation(incarnation)
            else { return nil }
            heard.append(HeardServer(name: name, incarnation: incarnation))
        }
        return heard
    }
}

extension Payload {
    fileprivate func integer(_ key: String, in range: ClosedRange<Int>, absent: Int? = nil) -> Int? {
        guard let member = self[key] else { return absent }
        return member.integer(in: range)
    }

    fileprivate func integer(in range: ClosedRange<Int>) -> Int? {
        guard let value = Int(self.json), range.contains(value) else { return nil }
        return value
    }
}
