import CrossServerWire
package import Logging
package import NIOCore

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// Lets a listening socket rest when the system has nothing left for another connection, most likely no file descriptor:
/// clients wait in the backlog meanwhile.
///
/// swift-nio's own handler for this puts off the next read, but the socket stays registered as readable, and the event loop
/// spins. To be added at the head of the listening channel.
package final class AcceptPause: ChannelInboundHandler {
    package typealias InboundIn = any Channel

    /// How long it rests before the next try.
    private static let pause = TimeAmount.milliseconds(100)

    private let failed: @Sendable (IOError) -> Void
    private var isPaused = false

    /// - Parameter failed: called for each accept that failed.
    package init(failed: @escaping @Sendable (IOError) -> Void) {
        self.failed = failed
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? IOError, [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(error.errnoCode) else {
            return context.fireErrorCaught(error)
        }
        self.failed(error)
        guard !self.isPaused, self.setReading(false, context) else { return }
        self.isPaused = true
        context.eventLoop.assumeIsolated().scheduleTask(in: Self.pause) {
            self.isPaused = false
            _ = self.setReading(true, context)
        }
    }

    private func setReading(_ isReading: Bool, _ context: ChannelHandlerContext) -> Bool {
        guard context.channel.isActive, let options = context.channel.syncOptions else { return false }
        do {
            try options.setOption(.autoRead, value: isReading)
            return true
        } catch {
            // The channel has just closed.
            return false
        }
    }
}

@available(*, unavailable)
extension AcceptPause: Sendable {}

/// Says that no connection can be accepted, once in ten seconds at most.
package final class AcceptFailureLog: Sendable {
    private let throttle = LogThrottle(maximumLines: 1)

    package init() {}

    package func report(_ error: IOError, _ logger: Logger) {
        self.throttle.log(
            logger,
            level: .error,
            "no more connections can be accepted for now",
            metadata: [
                "error": "\(error)", "files": "\(FileLimit.current ?? 0)",
                "advice": "raise the limit of open files (ulimit -n, LimitNOFILE=)",
            ]
        )
    }
}

extension WebSocketCrossServerAdapter {
    /// An accept of the port on which the clients come has failed.
    package func acceptFailed(_ error: IOError) {
        self.refusals.count(.files)
        self.acceptFailures.report(error, self.logger)
    }

    /// Says that the system does not allow as many connections as the configuration.
    func checkFileLimit() {
        guard self.listenAddress != nil || self.cluster.hasClients, let files = FileLimit.current else { return }
        let maximum = self.configuration.limits.maximumConnections
        guard FileLimit.connections(files: files, wanted: maximum) < maximum else { return }
        self.logger.notice(
            "the system allows fewer connections than limits.maximumConnections",
            metadata: [
                "files": "\(files)", "maximumConnections": "\(maximum)",
                "advice": "raise the limit of open files (ulimit -n, LimitNOFILE=), or lower maximumConnections",
            ]
        )
    }
}
