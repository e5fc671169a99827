import CrossServerBus
import CrossServerWire
import Logging

/// A message that did not get to other servers after all, when the call that was to send it had returned. Clients of this
/// server have got it.
public struct UnsentMessage: Sendable {
    public var channel: String
    /// `busUnavailable` or `overloaded`: it has waited in vain. `unknownSocket`: the one client that it was for moved while it
    /// was on its way, and it came back when it could not be sent again in its order, or found a connection that was closed.
    public var error: CrossServerError
}

extension Transport {
    func unsent(on channel: String, _ error: BusError) {
        self.unsent(on: channel, CrossServerError(error))
    }

    func unsent(on channel: String, _ error: CrossServerError) {
        ClusterCounters.increment(self.counters.messagesNotSent)
        self.throttles.notSent.log(
            self.logger,
            level: .warning,
            "not sent: a message to other servers",
            metadata: ["channel": "\(LogText(channel))", "error": "\(LogText(error))"]
        )
        self.unsentMessages.emit(UnsentMessage(channel: channel, error: error))
    }
}
