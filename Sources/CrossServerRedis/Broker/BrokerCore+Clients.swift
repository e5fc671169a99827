import CrossServerRESP
import NIOCore

extension BrokerCore {
    /// CLIENT
    func manageClients(_ arguments: [ByteBuffer], for client: BrokerClient) {
        guard let subcommand = arguments[1].lowercasedWord else {
            return self.refuseUnknownSubcommand(of: .client, arguments, client)
        }
        let expected: ClosedRange<Int>
        switch subcommand {
        case "id", "getname", "info": expected = 2...2
        case "setname", "no-evict", "no-touch": expected = 3...3
        case "setinfo": expected = 4...4
        case "list": expected = 2...Int.max
        case "kill": expected = 3...Int.max
        default: return self.refuseUnknownSubcommand(of: .client, arguments, client)
        }
        guard expected.contains(arguments.count) else { return self.refuseArity(of: .client, subcommand, client) }
        switch subcommand {
        case "id": self.reply(client, .integer(Int64(client.id)))
        case "getname": self.reply(client, client.name.isEmpty ? .null : .bulkString(ByteBuffer(string: client.name)))
        case "setname":
            guard let name = Self.validName(arguments[2]) else { return self.refuseName(client) }
            client.name = name
            self.reply(client, .simpleString("OK"))
        case "setinfo": self.setInfo(arguments, for: client)
        // There is nothing to evict and no access time.
        case "no-evict", "no-touch":
            let isSwitch = ["on", "off"].contains(arguments[2].lowercasedWord)
            self.reply(client, isSwitch ? .simpleString("OK") : .simpleError("ERR syntax error"))
        case "info": self.reply(client, Self.text(self.description(of: client) + "\n"))
        case "list": self.listClients(arguments, for: client)
        default: self.killClients(arguments, for: client)
        }
    }

    private func setInfo(_ arguments: [ByteBuffer], for client: BrokerClient) {
        guard let value = Self.validName(arguments[3]) else {
            return self.fail(client, "ERR client info cannot contain spaces, newlines or special characters.")
        }
        switch arguments[2].lowercasedWord {
        case "lib-name": client.libraryName = value
        case "lib-ver": client.libraryVersion = value
        default: return self.fail(client, "ERR Unrecognized option '\(String(buffer: arguments[2]))'")
        }
        self.reply(client, .simpleString("OK"))
    }

    /// CLIENT LIST [TYPE type] [ID id…]
    private func listClients(_ arguments: [ByteBuffer], for client: BrokerClient) {
        var chosen = self.clients.values.sorted { $0.id < $1.id }
        switch arguments.count > 2 ? arguments[2].lowercasedWord : nil {
        case nil where arguments.count == 2: break
        case "type" where arguments.count == 4:
            guard let type = ClientType(argument: arguments[3]) else { return self.refuseType(arguments[3], client) }
            chosen = chosen.filter { ClientType($0) == type }
        case "id" where arguments.count > 3:
            let ids = arguments.dropFirst(3).map { Int(String(buffer: $0)) }
            guard !ids.contains(nil) else { return self.fail(client, "ERR Invalid client ID") }
            let wanted = Set(ids)
            chosen = chosen.filter { wanted.contains($0.id) }
        default: return self.fail(client, "ERR syntax error")
        }
        self.reply(client, Self.text(chosen.map { self.description(of: $0) + "\n" }.joined()))
    }

    private func refuseType(_ argument: ByteBuffer, _ client: BrokerClient) {
        self.fail(client, "ERR Unknown client type '\(String(buffer: argument))'")
    }

    /// CLIENT KILL address, or CLIENT KILL with filters in pairs.
    private func killClients(_ arguments: [ByteBuffer], for client: BrokerClient) {
        if arguments.count == 3 {
            let address = String(buffer: arguments[2])
            guard let victim = self.clients.values.first(where: { $0.address == address }) else {
                return self.fail(client, "ERR No such client")
            }
            self.reply(client, .simpleString("OK"))
            return self.kill(victim, by: client)
        }
        guard arguments.count.isMultiple(of: 2) else { return self.fail(client, "ERR syntax error") }
        var victims = self.clients.values.filter { $0.closing == .no }
        var skipsCaller = true
        for index in stride(from: 2, to: arguments.count, by: 2) {
            let value = String(buffer: arguments[index + 1])
            switch arguments[index].lowercasedWord {
            case "id":
                guard let id = Int(value), id > 0 else {
                    return self.fail(client, "ERR client-id should be greater than 0")
                }
                victims = victims.filter { $0.id == id }
            case "type":
                guard let type = ClientType(argument: arguments[index + 1]) else {
                    return self.refuseType(arguments[index + 1], client)
                }
                victims = victims.filter { ClientType($0) == type }
            case "addr": victims = victims.filter { $0.address == value }
            case "laddr": victims = victims.filter { $0.localAddress == value }
            case "user": victims = victims.filter { $0.isAuthenticated && value == self.configuration.username }
            case "skipme" where ["yes", "no"].contains(value.lowercased()): skipsCaller = value.lowercased() == "yes"
            default: return self.fail(client, "ERR syntax error")
            }
        }
        if skipsCaller { victims = victims.filter { $0 !== client } }
        self.reply(client, .integer(Int64(victims.count)))
        for victim in victims { self.kill(victim, by: client) }
    }

    /// Who ends itself still gets the reply.
    private func kill(_ victim: BrokerClient, by client: BrokerClient) {
        self.close(victim, victim === client ? .afterReplies : .atOnce)
    }

    private func description(of client: BrokerClient) -> String {
        let now = NIODeadline.now()
        let age = (now - client.connectedAt).nanoseconds / 1_000_000_000
        let idle = (now - client.lastCommandAt).nanoseconds / 1_000_000_000
        return """
            id=\(client.id) addr=\(client.address) laddr=\(client.localAddress) fd=\(client.id) name=\(client.name) \
            age=\(age) idle=\(idle) flags=\(client.isSubscriber ? "P" : "N") db=0 sub=\(client.channels.count) \
            psub=\(client.patterns.count) ssub=0 multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 obl=0 \
            oll=0 omem=\(client.output.byteCount) tot-mem=\(client.output.byteCount) events=r \
            cmd=\(client.lastCommand?.rawValue ?? "NULL") user=\(self.configuration.username) redir=-1 \
            resp=\(client.version.rawValue) lib-name=\(client.libraryName) lib-ver=\(client.libraryVersion)
            """
    }
}

/// As CLIENT LIST and CLIENT KILL tell clients apart. There are never any of the last two here.
private enum ClientType {
    case normal, pubsub, master, replica

    init?(argument: ByteBuffer) {
        switch argument.lowercasedWord {
        case "normal": self = .normal
        case "pubsub": self = .pubsub
        case "master": self = .master
        case "replica", "slave": self = .replica
        default: return nil
        }
    }

    init(_ client: BrokerClient) {
        self = client.isSubscriber ? .pubsub : .normal
    }
}
