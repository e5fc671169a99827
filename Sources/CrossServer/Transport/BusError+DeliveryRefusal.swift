import CrossServerBus

extension BusError {
    init(_ refusal: DeliveryRefusal) {
        switch refusal {
        case .queueFull: self.init(.tooManyBytesInFlight, "no link is usable, and too many bytes wait for one already")
        case .expired: self.init(.notConnected, "no link became usable in time")
        case .unreachable: self.init(.unreachable, "no link leads to the server")
        case .notNow: self.init(.notConnected, "no link is usable")
        case .tooManyStreams: self.init(.tooManyBytesInFlight, "too many channels are in use")
        case .cannotBeNumbered: self.init(.refused, "the message is no map")
        case .stopping: self.init(.notConnected, "the server stops")
        }
    }
}
