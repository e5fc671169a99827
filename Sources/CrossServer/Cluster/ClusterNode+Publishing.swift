import CrossServerBus
import CrossServerWire
import NIOCore
import Synchronization

extension ClusterNode {
    /// - Parameters:
    ///   - audience: the incarnation whose inbox the channel is; nil for a channel that anyone may hear.
    ///   - link: for a server of the original, which hears what it has asked for on the link on which it asked.
    /// - Throws: ``CrossServerError`` with `busUnavailable`, or ``BusMessageError`` when the payload cannot be written.
    func publish(
        _ message: some BusWritable,
        to channel: String,
        audience: UInt64? = nil,
        over link: BusLink? = nil,
        delivery: WebSocketCrossServerAdapter.Configuration.Delivery = .ordered,
        completion: (@Sendable (Result<Publication, BusError>) -> Void)?
    ) throws {
        let encoding = self.configuration.cluster.encoding
        guard let courier = self.courier, link == nil else {
            guard let bus = self.bus else { throw CrossServerError(.busUnavailable, "this server has no bus") }
            var buffer = ByteBuffer()
            try message.write(into: &buffer, as: encoding)
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

    /// Messages for different audiences on one channel do not take each other's place.
    ///
    /// - Throws: ``CrossServerError`` with `invalidName`.
    func delivery(
        _ delivery: WebSocketCrossServerAdapter.Configuration.Delivery,
        for audience: @autoclosure () -> String
    ) throws(CrossServerError) -> WebSocketCrossServerAdapter.Configuration.Delivery {
        guard case .latest(let key) = delivery else { return delivery }
        try self.configuration.limits.checkName(key, "key")
        return .latest(key: "\(audience())\u{0}\(key)")
    }

    func publish(
        _ buffer: ByteBuffer,
        on bus: any Bus,
        to channel: String,
        over link: BusLink? = nil,
        completion: (@Sendable (Result<Publication, BusError>) -> Void)?
    ) throws(CrossServerError) {
        do throws(BusError) {
            try bus.publish(buffer, to: channel, over: link, completion: completion)
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
