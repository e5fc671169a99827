import Logging
import NIOCore
import Synchronization

/// Bounds what clients can make a server log: ten lines in ten seconds of each kind, and then how many were left out.
final class LogThrottle: Sendable {
    private let window = Mutex(Window())

    private struct Window {
        var end: NIODeadline = .uptimeNanoseconds(0)
        var lines = 0
        var suppressed = 0
    }

    private static let length = TimeAmount.seconds(10)
    private let maximumLines: Int

    init(maximumLines: Int = 10) {
        self.maximumLines = maximumLines
    }

    func log(
        _ logger: Logger,
        level: Logger.Level,
        _ message: @autoclosure () -> Logger.Message,
        metadata: @autoclosure () -> Logger.Metadata = [:]
    ) {
        guard level >= logger.logLevel, let suppressed = self.admit(now: .now()) else { return }
        var metadata = metadata()
        if suppressed > 0 { metadata["suppressed"] = "\(suppressed)" }
        logger.log(level: level, message(), metadata: metadata)
    }

    /// - Returns: nil to leave the line out; otherwise how many were left out before it.
    func admit(now: NIODeadline) -> Int? {
        self.window.withLock { window in
            if now >= window.end {
                let suppressed = window.suppressed
                window = Window(end: now + Self.length, lines: 1, suppressed: 0)
                return suppressed
            }
            guard window.lines < self.maximumLines else {
                window.suppressed += 1
                return nil
            }
            window.lines += 1
            return 0
        }
    }
}

/// The kinds of lines that clients can cause.
struct LogThrottles: Sendable {
    let invalidMessage = LogThrottle()
    let handlerFailure = LogThrottle()
    let slowClient = LogThrottle()
    let protocolError = LogThrottle()
    let handshake = LogThrottle()
    let connectionLimit = LogThrottle()
    let origin = LogThrottle()
}
