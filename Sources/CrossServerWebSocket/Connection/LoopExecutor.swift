import DequeModule
package import NIOCore

/// Runs Swift tasks on an event loop, so that a handler of a client starts and goes on where the client lives.
///
/// The loop looks at its sockets in between, however many jobs there are: what it is told to execute comes before that.
package final class LoopExecutor: TaskExecutor {
    private let eventLoop: any EventLoop
    private let jobs: NIOLoopBoundBox<Jobs>

    private final class Jobs {
        /// Those that ran since there was a pause.
        var count = 0
        /// Those that run after the next one.
        var waiting: Deque<UnownedJob> = []
    }

    /// A job is a step of a handler, some microseconds: all of them together take about a millisecond.
    private static let maximumJobs = 256
    private static let pause = TimeAmount.microseconds(20)

    package init(eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
        self.jobs = .makeBoxSendingValue(Jobs(), eventLoop: eventLoop)
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        self.eventLoop.execute {
            let jobs = self.jobs.value
            if jobs.count < Self.maximumJobs {
                jobs.count += 1
                job.runSynchronously(on: self.asUnownedTaskExecutor())
            } else {
                jobs.waiting.append(job)
                if jobs.waiting.count == 1 { self.goOnLater() }
            }
        }
    }

    private func goOnLater() {
        self.eventLoop.scheduleTask(in: Self.pause) { self.goOn() }
    }

    private func goOn() {
        let jobs = self.jobs.value
        jobs.count = 0
        // As long as some wait there are as many as may be: nobody overtakes them.
        while jobs.count < Self.maximumJobs, let job = jobs.waiting.popFirst() {
            jobs.count += 1
            job.runSynchronously(on: self.asUnownedTaskExecutor())
        }
        if !jobs.waiting.isEmpty { self.goOnLater() }
    }
}
