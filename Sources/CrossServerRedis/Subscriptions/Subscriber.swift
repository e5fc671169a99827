import CrossServerBus
import Logging
import NIOCore

/// The subscribing half of a link, on its event loop: what is wanted, across all its connections.
final class Subscriber {
    /// Holds this, and is held by all who call it. Not weak, which would slow down each reference to it.
    private unowned let link: RedisLink
    private let eventLoop: any EventLoop
    private var subscriptions: SubscriptionSet
    private var names = ChannelNames()
    private var waits: [String: [SubscriptionWait]] = [:]
    private weak var connection: SubscriberHandler?
    private var isFlushScheduled = false
    private var isReceiving = false
    /// Whether the connection does not answer.
    private var isSilent = false

    init(link: RedisLink) {
        self.link = link
        self.eventLoop = link.eventLoop
        self.subscriptions = SubscriptionSet(batchSize: link.configuration.subscriptionBatchSize)
    }

    func subscribe(to channels: [String]) {
        for channel in channels {
            self.subscriptions.want(channel)
            self.names.insert(channel)
        }
        self.scheduleFlush()
    }

    func unsubscribe(from channels: [String]) {
        for channel in channels where self.subscriptions.release(channel) {
            self.names.remove(channel)
            let outcome = SubscriptionWait.Outcome.refused(channel: channel, message: "it is wanted no more")
            for wait in self.waits.removeValue(forKey: channel) ?? [] { wait.finish(outcome) }
        }
        self.checkComplete()
        self.scheduleFlush()
    }

    func wait(for channels: Set<String>, _ wait: SubscriptionWait) {
        guard self.connection != nil, !self.isSilent else { return wait.finish(.unusable) }
        for channel in channels {
            if let message = self.subscriptions.refusal(of: channel) {
                return wait.finish(.refused(channel: channel, message: message))
            }
        }
        let missing = channels.filter { !self.subscriptions.isConfirmed($0) }
        if missing.isEmpty { return wait.finish(.confirmed) }
        wait.remaining = missing.count
        for channel in missing {
            // Those that were given up are let go here, so that a channel that is never confirmed collects none.
            self.waits[channel, default: []].removeAll(where: \.isFinished)
            self.waits[channel, default: []].append(wait)
        }
    }

    func isConfirmed(_ channel: String) -> Bool {
        self.subscriptions.isConfirmed(channel)
    }

    var channelsNotSubscribed: [UnsubscribedChannel] {
        self.subscriptions.unconfirmed.map {
            UnsubscribedChannel(channel: $0, refusal: self.subscriptions.refusal(of: $0))
        }
    }

    func opened(_ connection: SubscriberHandler) {
        self.connection = connection
        self.subscriptions.connected()
        self.flush()
        self.checkComplete()
    }

    func closed(_ connection: SubscriberHandler, _ failure: RedisFailure) {
        guard self.connection === connection else { return }
        self.connection = nil
        self.isSilent = false
        self.subscriptions.disconnected()
        self.outOfUse(failure)
    }

    /// The connection is open, and the server does not answer.
    func fellSilent(_ connection: SubscriberHandler, _ failure: RedisFailure) {
        guard self.connection === connection else { return }
        self.isSilent = true
        self.outOfUse(failure)
    }

    /// What is in force on the connection, still is.
    func answersAgain(_ connection: SubscriberHandler) {
        guard self.connection === connection else { return }
        self.isSilent = false
        self.link.logger.notice("the connection answers again", metadata: ["connection": "\(RedisRole.subscriber)"])
        self.checkComplete()
    }

    private func outOfUse(_ failure: RedisFailure) {
        let waiting = self.waits.values.joined()
        self.waits = [:]
        let wasReceiving = self.isReceiving
        self.isReceiving = false
        if wasReceiving {
            self.link.changed(.subscriber, isHealthy: false, failure)
        } else {
            self.link.connectFailed(.subscriber, failure)
        }
        for wait in waiting { wait.finish(.unusable) }
    }

    func name(of channel: ByteBuffer) -> String? {
        self.names.name(of: channel)
    }

    func answered(_ channel: String, isSubscribe: Bool) throws(RedisFailure) {
        self.handle(try self.subscriptions.answered(channel, isSubscribe: isSubscribe))
        self.checkComplete()
    }

    func refused(_ message: String) throws(RedisFailure) {
        for event in try self.subscriptions.refused(message) { self.handle(event) }
        self.checkComplete()
        self.flush()
    }

    func pingSent() {
        self.subscriptions.pingSent()
    }

    func pong() throws(RedisFailure) {
        self.handle(try self.subscriptions.pong())
    }

    func fail(_ failure: RedisFailure) {
        self.connection?.fail(failure)
    }

    func retryRefused() {
        self.subscriptions.retryRefused()
        self.flush()
    }

    private func handle(_ event: SubscriptionSet.Event) {
        switch event {
        case .none:
            break
        case .confirmed(let channel):
            for wait in self.waits.removeValue(forKey: channel) ?? [] { wait.confirmed() }
        case .refused(let channel, let wasSubscribing, let message):
            self.link.subscriptionFailed(channel, wasSubscribing: wasSubscribing, message)
            guard wasSubscribing else { return }
            for wait in self.waits.removeValue(forKey: channel) ?? [] {
                wait.finish(.refused(channel: channel, message: message))
            }
        case .pong:
            self.connection?.pongReceived()
        }
    }

    private func checkComplete() {
        guard !self.isReceiving, !self.isSilent, self.subscriptions.isComplete else { return }
        self.isReceiving = true
        self.link.changed(.subscriber, isHealthy: true, nil)
    }

    /// At the end of the turn, so that leaving and joining in one instant costs nothing.
    private func scheduleFlush() {
        guard !self.isFlushScheduled, self.connection != nil else { return }
        self.isFlushScheduled = true
        self.eventLoop.assumeIsolated().execute {
            self.isFlushScheduled = false
            self.flush()
        }
    }

    private func flush() {
        let commands = self.subscriptions.nextCommands()
        if !commands.isEmpty { self.connection?.send(commands) }
    }
}
