import HeapModule
import NIOCore

/// When the requests to the clients of one event loop run out of time. Used on the loop only.
///
/// One timer runs, for the earliest: nearly all requests are answered long before theirs, and a timer for each would
/// have to be searched among all timers of the loop when it is cancelled.
final class RequestDeadlines {
    private struct Deadline: Comparable {
        var time: NIODeadline
        var id: String
        var socket: ClientSocket

        static func == (left: Deadline, right: Deadline) -> Bool { left.time == right.time }
        static func < (left: Deadline, right: Deadline) -> Bool { left.time < right.time }
    }

    private let eventLoop: any EventLoop
    /// Also of requests that have ended meanwhile.
    private var deadlines = Heap<Deadline>()
    private var timer: (time: NIODeadline, task: Scheduled<Void>)?

    init(eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
    }

    /// - Parameter outstanding: how many requests of the loop wait for their replies.
    func add(_ time: NIODeadline, id: String, of socket: ClientSocket, outstanding: Int) {
        // Now and then only what still waits is kept.
        if self.deadlines.count > 1_024, self.deadlines.count > 4 * outstanding {
            self.deadlines = Heap(self.deadlines.unordered.filter(Self.isOutstanding))
        }
        self.deadlines.insert(Deadline(time: time, id: id, socket: socket))
        if let timer = self.timer {
            guard time < timer.time else { return }
            timer.task.cancel()
        }
        self.startTimer(at: time)
    }

    /// Stops the timer. To be called when no connection is left.
    func stop() {
        self.timer?.task.cancel()
        self.timer = nil
        self.deadlines = Heap()
    }

    private static func isOutstanding(_ deadline: Deadline) -> Bool {
        deadline.socket.connection?.isOutstanding(deadline.id) == true
    }

    private func startTimer(at time: NIODeadline) {
        let task = self.eventLoop.assumeIsolated().scheduleTask(deadline: time) { self.expire() }
        self.timer = (time, task)
    }

    private func expire() {
        self.timer = nil
        let now = self.eventLoop.now
        while let first = self.deadlines.min, first.time <= now || !Self.isOutstanding(first) {
            self.deadlines.removeMin()
            first.socket.connection?.requestTimedOut(first.id)
        }
        // Those who were told may have asked again.
        if self.timer == nil, let first = self.deadlines.min { self.startTimer(at: first.time) }
    }
}
