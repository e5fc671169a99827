import NIOCore

/// Sends the probes of one connection, and tells when one is overdue. Bound to the event loop.
final class Prober {
    var probe: Probe
    private let interval: TimeAmount
    private var eventLoop: (any EventLoop)?
    private var send: (() -> Void)?
    private var overdue: (() -> Void)?
    private var intervalTimer: Scheduled<Void>?
    private var deadlineTimer: Scheduled<Void>?

    init(_ configuration: RedisBus.Configuration) {
        self.interval = TimeAmount(configuration.probeInterval)
        self.probe = Probe(deadline: TimeAmount(configuration.probeDeadline))
    }

    /// The first probe goes out at once.
    func start(on eventLoop: any EventLoop, send: @escaping () -> Void, overdue: @escaping () -> Void) {
        self.eventLoop = eventLoop
        self.send = send
        self.overdue = overdue
        self.next()
    }

    func stop() {
        self.intervalTimer?.cancel()
        self.deadlineTimer?.cancel()
        self.send = nil
        self.overdue = nil
    }

    func answered() {
        self.probe.answered(at: .now())
        self.deadlineTimer?.cancel()
    }

    /// After it was overdue: something came, and so the answer may come, too.
    func goOn() {
        if self.probe.isWaiting { self.check(in: self.probe.deadline, isLast: false) }
    }

    private func next() {
        guard let send = self.send else { return }
        if !self.probe.isWaiting {
            self.probe.sent(at: .now())
            send()
            self.check(in: self.probe.deadline, isLast: false)
        }
        self.intervalTimer = self.eventLoop?.assumeIsolated().scheduleTask(in: self.interval) { self.next() }
    }

    /// The last check comes a little later than the deadline: when this process was too busy to read, the answer is
    /// there but was not seen yet.
    private func check(in time: TimeAmount, isLast: Bool) {
        self.deadlineTimer = self.eventLoop?.assumeIsolated().scheduleTask(in: time) {
            guard let due = self.probe.due else { return }
            let now = NIODeadline.now()
            if now < due { return self.check(in: due - now, isLast: false) }
            if isLast { self.overdue?() } else { self.check(in: .milliseconds(5), isLast: true) }
        }
    }
}
