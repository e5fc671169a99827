import CrossServerBus
import NIOCore
import Synchronization

/// Knows who is in the cluster: which servers live and can be reached, whether their silence means something, and what
/// hinders this one in its talk with them.
///
/// The membership lives on the transport's event loop. What others need of it is in the roster, for any thread.
final class Servers: Sendable {
    /// What comes of it for other parts. All calls are on the event loop.
    protocol Delegate: AnyObject, Sendable {
        /// What this server tells others of itself.
        var load: (connections: Int, rooms: Int) { get }
        func joined(_ server: Member)
        func left(_ server: Member)
        /// It is sure that the server answers and delivers nothing any more.
        func isGone(_ server: Holder, hasStopped: Bool)
        /// Nobody hears the server's inbox any more, or somebody does again.
        func isSuspect(_ server: Holder, _ isSuspect: Bool)
        /// A link delivers to the server's inbox, or cannot say.
        func isHeard(_ server: Holder)
        /// Ten times a second.
        func tick(_ now: NIODeadline)
    }

    let transport: Transport
    let membership: NIOLoopBoundBox<Membership>
    let roster = Mutex(Roster())
    let hearing = Mutex(Hearing())
    /// When Redis was asked last who hears the inbox of a server.
    let countedInboxes: NIOLoopBoundBox<[Holder: NIODeadline]>
    /// When to look for a server of the original with this one's name again.
    let namesakeCheck: NIOLoopBoundBox<NIODeadline>
    let subscriptionWatch: NIOLoopBoundBox<SubscriptionWatch>
    let busReadiness = Mutex(BusReadiness())
    let serverChanges = Reports<ServerChange>(maximumWaiting: 1_000)
    /// What ends the talk with the other servers.
    let failures = AsyncStream<any Error>.makeStream(bufferingPolicy: .bufferingOldest(1))
    /// What was counted of each when it was last looked at.
    let overflows = Mutex([Overflow: Int]())
    /// Until the end: it holds this.
    let delegate: NIOLoopBoundBox<(any Delegate)?>

    init(_ transport: Transport, start: NIODeadline) {
        let eventLoop = transport.eventLoop
        var configuration = Membership.Configuration()
        configuration.role = transport.configuration.cluster.isObserver ? .observer : .server
        configuration.takesClients = false
        self.transport = transport
        let membership = Membership(
            name: transport.name,
            incarnation: transport.incarnation,
            configuration: configuration,
            now: start
        )
        self.membership = .makeBoxSendingValue(membership, eventLoop: eventLoop)
        self.countedInboxes = .makeBoxSendingValue([:], eventLoop: eventLoop)
        self.namesakeCheck = .makeBoxSendingValue(start, eventLoop: eventLoop)
        self.subscriptionWatch = .makeBoxSendingValue(SubscriptionWatch(), eventLoop: eventLoop)
        self.delegate = .makeBoxSendingValue(nil, eventLoop: eventLoop)
    }

    /// Lets go of all that listens.
    func end() {
        self.serverChanges.finish()
        self.failures.continuation.finish()
    }
}
