import NIOCore
import Synchronization

/// Counts connections from the accept on, in all and per address, and says when the last one has gone.
final class ConnectionTable: Sendable {
    private let maximum: Int
    private let maximumPerAddress: Int?
    private let state = Mutex(State())

    private struct State {
        var count = 0
        /// Those of them that have shaken hands.
        var clients = 0
        var byAddress: [String: Int] = [:]
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    /// One connection that was let in. To be released once.
    struct Admission: Sendable {
        fileprivate let address: String?
    }

    enum Result {
        case admitted(Admission)
        case tooMany
        case tooManyOfAddress
    }

    init(limits: Limits) {
        self.maximum = limits.maximumConnections
        self.maximumPerAddress = limits.maximumConnectionsPerAddress
    }

    var count: Int { self.state.withLock { $0.count } }
    var clients: Int { self.state.withLock { $0.clients } }

    func admit(_ remoteAddress: SocketAddress?) -> Result {
        // The address is needed as text only when it is counted.
        let address = self.maximumPerAddress == nil ? nil : remoteAddress?.ipAddress
        return self.state.withLock { state in
            guard state.count < self.maximum else { return .tooMany }
            if let address, let maximumPerAddress {
                guard state.byAddress[address, default: 0] < maximumPerAddress else { return .tooManyOfAddress }
                state.byAddress[address, default: 0] += 1
            }
            state.count += 1
            return .admitted(Admission(address: address))
        }
    }

    /// A connection that was let in has shaken hands: it is to be released as a client.
    func opened() {
        self.state.withLock { $0.clients += 1 }
    }

    func release(_ admission: Admission, isClient: Bool = false) {
        let waiters = self.state.withLock { state -> [CheckedContinuation<Void, Never>] in
            state.count -= 1
            if isClient { state.clients -= 1 }
            if let address = admission.address, let count = state.byAddress[address] {
                state.byAddress[address] = count > 1 ? count - 1 : nil
            }
            guard state.count == 0 else { return [] }
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    /// Waits until there is no connection, or ``stopWaiting()`` is called.
    func drained() async {
        await withCheckedContinuation { continuation in
            let isDrained = self.state.withLock { state in
                if state.count > 0 { state.waiters.append(continuation) }
                return state.count == 0
            }
            if isDrained { continuation.resume() }
        }
    }

    func stopWaiting() {
        let waiters = self.state.withLock { state in
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }
}
