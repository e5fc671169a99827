import CrossServerBus
import CrossServerWire
import NIOCore
import Synchronization

extension Transport {
    /// - Parameters:
    ///   - encoding: that of the configuration when nil.
    ///   - audience: the incarnation whose inbox the channel is; nil for a channel that anyone may hear.
    ///   - link: for a server of the original, which hears what it has asked for on the link on which it asked.
    /// - Throws: ``CrossServerError`` with `busUnavailable`, or ``BusMessageError`` when the payload cannot be written.
    func publish(
        _ message: some BusWritable,
        as encoding: BusEncoding? = nil,
        to channel: String,
        audience: UInt64? = nil,
        over link: BusLink? = nil,
        delivery: WebSocketCrossServerAdapter.Configuration.Delivery = .ordered,
        completion: Courier.Completion?
    ) throws {
        let encoding = encoding ?? self.configuration.cluster.encoding
        guard let courier = self.courier, link == nil else {
            guard let bus = self.bus else { throw CrossServerError(.busUnavailable, "this server has no bus") }
            var buffer = ByteBuffer()
            try message.write(into: &buffer, as: encoding)
            let link = link ?? (audience == nil ? self.preferredLink : nil)
            return try self.publish(buffer, on: bus, to: channel, over: link, completion: completion)
        }
        do {
            switch delivery {
            case .ordered:
                try courier.publish(message, as: encoding, to: channel, audience: audience, completion: completion)
            case .latest(let key):
                try courier.publish(
                    message,
                    as: encoding,
                    to: channel,
                    audience: audience,
                    key: key,
                    completion: completion
                )
            case .bestEffort:
                try courier.publishOnce(message, as: encoding, to: channel, audience: audience, completion: completion)
            }
        } catch let error as BusError {
            throw CrossServerError(error)
        }
        ClusterCounters.increment(self.counters.eventsSent)
        if audience == nil {
            let count = self.unreachableCount.load(ordering: .relaxed)
            if count > 0 { self.counters.messagesUnreachable.wrappingAdd(count, ordering: .relaxed) }
        }
    }

    /// Checks what a single message asks for. To be called before it goes anywhere.
    ///
    /// - Throws: ``CrossServerError`` with `invalidName` or `invalidConfiguration`.
    func check(_ delivery: WebSocketCrossServerAdapter.Configuration.Delivery) throws(CrossServerError) {
        guard case .latest(let key) = delivery else { return }
        try self.configuration.limits.checkName(key, "key")
        guard self.configuration.cluster.delivery == .ordered else {
            throw CrossServerError(
                .invalidConfiguration,
                "delivery: .latest needs cluster.delivery = .ordered: with .bestEffort no message waits"
            )
        }
    }

    /// Messages for different audiences on one channel do not take each other's place.
    func delivery(
        _ delivery: WebSocketCrossServerAdapter.Configuration.Delivery,
        for audience: @autoclosure () -> String
    ) -> WebSocketCrossServerAdapter.Configuration.Delivery {
        guard case .latest(let key) = delivery else { return delivery }
        return .latest(key: "\(audience())\u{0}\(key)")
    }

    /// Tells all our other servers something that nobody answers.
    func tell<Message: Event>(_ message: Message) throws {
        guard self.bus != nil else { return }
        let event = CrossServerEvent(event: Message.name, sender: self.name, payload: try Payload(encoding: message))
        try self.publish(event, to: self.channels.cluster, completion: nil)
    }

    /// The link that all servers of the original hear, while they do not hear all.
    var preferredLink: BusLink? {
        let number = self.linkOfOriginals.load(ordering: .relaxed)
        return number < 0 ? nil : BusLink(number: number)
    }

    /// Publishes what has no number.
    func publish(
        _ buffer: ByteBuffer,
        on bus: any Bus,
        to channel: String,
        over link: BusLink? = nil,
        completion: Courier.Completion?
    ) throws(CrossServerError) {
        do throws(BusError) {
            try bus.publish(
                buffer,
                to: channel,
                over: link,
                completion: Courier.unnumbered(completion)
            )
        } catch {
            throw CrossServerError(error)
        }
        ClusterCounters.increment(self.counters.eventsSent)
    }
}

extension CrossServerError {
    init(_ error: BusError) {
        switch error.code {
        case .tooManyBytesInFlight: self.init(.overloaded, error.message)
        case .messageTooLarge: self.init(.messageTooLarge, error.message)
        case .unreachable: self.init(.unreachable, error.message)
        default: self.init(.busUnavailable, error.message)
        }
    }
}
