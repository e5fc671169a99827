import CrossServerRESP
import NIOCore

extension BrokerCore {
    func publish(_ message: ByteBuffer, to channel: ByteBuffer, for client: BrokerClient) {
        guard self.isAllowed(channel, for: client) else { return }
        var receivers = 0
        if let subscribers = self.channels.subscribers[channel] {
            receivers += self.fanOut(message, of: channel, pattern: nil, to: subscribers)
        }
        // Of many patterns only those that match cost more than the comparison.
        for (pattern, subscribers) in self.patterns.subscribers where GlobPattern.matches(pattern, channel) {
            receivers += self.fanOut(message, of: channel, pattern: pattern, to: subscribers)
        }
        self.reply(client, .integer(Int64(receivers)))
    }

    private func fanOut(
        _ message: ByteBuffer,
        of channel: ByteBuffer,
        pattern: ByteBuffer?,
        to subscribers: [BrokerClient]
    ) -> Int {
        for subscriber in subscribers where subscriber.closing == .no {
            self.message.append(
                to: &subscriber.output,
                subscriber.version,
                pattern: pattern,
                channel: channel,
                message: message
            )
            self.wrote(subscriber)
        }
        self.message.clear()
        return subscribers.count
    }

    private func isAllowed(_ name: ByteBuffer, for client: BrokerClient) -> Bool {
        guard name.readableBytes > self.limits.maximumChannelLength else { return true }
        self.fail(client, "ERR name is longer than \(self.limits.maximumChannelLength) bytes")
        return false
    }

    func subscribe(to names: ArraySlice<ByteBuffer>, for client: BrokerClient) {
        guard names.allSatisfy({ self.isAllowed($0, for: client) }) else { return }
        guard client.channels.count + names.count <= self.limits.maximumChannels else {
            return self.fail(client, "ERR more than \(self.limits.maximumChannels) channels")
        }
        for name in names {
            // A copy: the argument is a slice that keeps all of what was read.
            let name = ByteBuffer(bytes: name.readableBytesView)
            if client.channels.insert(name).inserted {
                self.channels.add(client, to: name)
                self.count(client, Self.subscriptionBytes(name))
            }
            self.confirm("subscribe", name, for: client)
            // Closed, and its subscriptions let go.
            if client.closing == .atOnce { return }
        }
    }

    func subscribe(toPatterns names: ArraySlice<ByteBuffer>, for client: BrokerClient) {
        guard names.allSatisfy({ self.isAllowed($0, for: client) }) else { return }
        guard client.patterns.count + names.count <= self.limits.maximumPatterns else {
            return self.fail(client, "ERR more than \(self.limits.maximumPatterns) patterns")
        }
        for name in names {
            let name = ByteBuffer(bytes: name.readableBytesView)
            if client.patterns.insert(name).inserted {
                self.patterns.add(client, to: name)
                self.count(client, Self.subscriptionBytes(name))
            }
            self.confirm("psubscribe", name, for: client)
            if client.closing == .atOnce { return }
        }
    }

    /// - Parameter names: from all when it is empty.
    func unsubscribe(from names: ArraySlice<ByteBuffer>, for client: BrokerClient) {
        let names = names.isEmpty ? ArraySlice(client.channels) : names
        for name in names {
            if client.channels.remove(name) != nil {
                self.channels.remove(client, from: name)
                self.count(client, -Self.subscriptionBytes(name))
            }
            self.confirm("unsubscribe", name, for: client)
        }
        if names.isEmpty { self.confirm("unsubscribe", nil, for: client) }
    }

    /// - Parameter names: from all when it is empty.
    func unsubscribe(fromPatterns names: ArraySlice<ByteBuffer>, for client: BrokerClient) {
        let names = names.isEmpty ? ArraySlice(client.patterns) : names
        for name in names {
            if client.patterns.remove(name) != nil {
                self.patterns.remove(client, from: name)
                self.count(client, -Self.subscriptionBytes(name))
            }
            self.confirm("punsubscribe", name, for: client)
        }
        if names.isEmpty { self.confirm("punsubscribe", nil, for: client) }
    }

    func unsubscribeFromAll(_ client: BrokerClient) {
        for name in client.channels { self.channels.remove(client, from: name) }
        for name in client.patterns { self.patterns.remove(client, from: name) }
        client.channels = []
        client.patterns = []
        self.count(client, -client.subscriptionBytes)
    }

    /// The name, and about as much as the tables take in which it is.
    private static func subscriptionBytes(_ name: ByteBuffer) -> Int { name.readableBytes + 256 }

    private func count(_ client: BrokerClient, _ bytes: Int) {
        client.subscriptionBytes += bytes
        self.memory.add(bytes)
    }

    private func confirm(_ kind: String, _ name: ByteBuffer?, for client: BrokerClient) {
        self.reply(
            client,
            .push([
                .bulkString(ByteBuffer(string: kind)),
                name.map { .bulkString($0) } ?? .null,
                .integer(Int64(client.subscriptionCount)),
            ])
        )
    }

    func ping(_ arguments: [ByteBuffer], for client: BrokerClient) {
        let message = arguments.count > 1 ? arguments[1] : nil
        if client.version == .resp2, client.isSubscriber {
            let pong = ByteBuffer(string: "pong")
            self.reply(client, .array([.bulkString(pong), .bulkString(message ?? ByteBuffer())]))
        } else {
            self.reply(client, message.map { .bulkString($0) } ?? .simpleString("PONG"))
        }
    }

    /// PUBSUB
    func describeSubscriptions(_ arguments: [ByteBuffer], for client: BrokerClient) {
        let subcommand = arguments[1].lowercasedWord
        switch subcommand {
        case "channels":
            guard arguments.count <= 3 else { return self.refuseArity(of: .pubsub, "channels", client) }
            let pattern = arguments.count == 3 ? arguments[2] : nil
            let names = self.channels.subscribers.keys.filter { name in
                pattern.map { GlobPattern.matches($0, name) } ?? true
            }
            self.reply(client, .array(names.map { .bulkString($0) }))
        case "numsub":
            let counts = arguments.dropFirst(2).flatMap { name in
                [.bulkString(name), .integer(Int64(self.channels.subscribers[name]?.count ?? 0))] as [RESPValue]
            }
            self.reply(client, .array(counts))
        case "numpat":
            guard arguments.count == 2 else { return self.refuseArity(of: .pubsub, "numpat", client) }
            self.reply(client, .integer(Int64(self.patterns.subscribers.count)))
        case "shardchannels", "shardnumsub": self.reply(client, .array([]))
        default: self.refuseUnknownSubcommand(of: .pubsub, arguments, client)
        }
    }
}
