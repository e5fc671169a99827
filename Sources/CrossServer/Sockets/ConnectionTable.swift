package import CrossServerWebSocket
package import NIOCore
import Synchronization

/// Counts connections from the accept on, in all and per address, and clients whose connection has ended while handlers of
/// theirs run. Says when the last one has gone.
package final class ConnectionTable: Sendable {
    private let maximum: Int
    private let maximumPerAddress: Int?
    private let maximumLingering: Int
    private let state = Mutex(State())

    private struct State {
        var count = 0
        /// Those that have shaken hands, until no handler of theirs runs any more.
        var clients = 0
        /// Those of them whose connection has ended.
        var lingering = 0
        var byAddress: [String: Int] = [:]
        /// Opened when the last connection has gone.
        var gates: [Gate] = []

        var isEmpty: Bool { self.count == 0 && self.lingering == 0 }

        mutating func remove(_ admission: Admission) {
            self.count -= 1
            if let address = admission.address, let count = self.byAddress[address] {
                self.byAddress[address] = count > 1 ? count - 1 : nil
            }
        }
    }

    /// One connection that was let in. To be given back once.
    package struct Admission: Sendable {
        fileprivate let address: String?
    }

    package enum Refusal {
        case tooMany
        case tooManyOfAddress
    }

    package enum Result {
        case admitted(Admission)
        case refused(Refusal)
    }

    package init(limits: Limits) {
        self.maximum = limits.maximumConnections
        self.maximumPerAddress = limits.maximumConnectionsPerAddress
        self.maximumLingering = limits.maximumLingeringClients
    }

    /// Those that are connected, and those whose handlers run yet.
    var count: Int { self.state.withLock { $0.count + $0.lingering } }

    /// Clients whose connection has ended, and not all of their handlers.
    var lingeringCount: Int { self.state.withLock { $0.lingering } }

    /// Those that have shaken hands, until no handler of theirs runs any more.
    var clients: Int { self.state.withLock { $0.clients } }

    package func admit(_ remoteAddress: SocketAddress?) -> Result {
        // The address is needed as text only when it is counted.
        let address = self.maximumPerAddress == nil ? nil : remoteAddress?.ipAddress
        return self.state.withLock { state in
            if let refusal = self.refusal(of: address, state) { return .refused(refusal) }
            if let address { state.byAddress[address, default: 0] += 1 }
            state.count += 1
            return .admitted(Admission(address: address))
        }
    }

    /// A connection that was let in has shaken hands.
    func opened() {
        self.state.withLock { $0.clients += 1 }
    }

    /// - Returns: why a connection would not be let in now, or nil.
    func mayAdmit(_ remoteAddress: SocketAddress?) -> Refusal? {
        let address = self.maximumPerAddress == nil ? nil : remoteAddress?.ipAddress
        return self.state.withLock { self.refusal(of: address, $0) }
    }

    private func refusal(of address: String?, _ state: State) -> Refusal? {
        guard state.count < self.maximum, state.lingering < self.maximumLingering else { return .tooMany }
        if let address, let maximumPerAddress, state.byAddress[address, default: 0] >= maximumPerAddress {
            return .tooManyOfAddress
        }
        return nil
    }

    /// A connection has ended that is no client's.
    package func release(_ admission: Admission) {
        self.change { $0.remove(admission) }
    }

    /// A client's connection has ended: its place is free. ``handlersEnded()`` must follow.
    func connectionEnded(_ admission: Admission) {
        self.change { state in
            state.remove(admission)
            state.lingering += 1
        }
    }

    /// No handler of a client runs any more whose connection has ended.
    func handlersEnded() {
        self.change { state in
            state.lingering -= 1
            state.clients -= 1
        }
    }

    private func change(_ body: (inout State) -> Void) {
        let gates = self.state.withLock { state -> [Gate] in
            body(&state)
            return state.isEmpty ? state.gates : []
        }
        for gate in gates { gate.open() }
    }

    /// Waits until there is no connection, but no longer than the time.
    ///
    /// - Returns: whether there is none.
    func drained(within limit: Duration) async -> Bool {
        let gate = Gate()
        let isDrained = self.state.withLock { state in
            if !state.isEmpty { state.gates.append(gate) }
            return state.isEmpty
        }
        if isDrained { return true }
        await gate.passed(within: limit)
        return self.state.withLock { state in
            state.gates.removeAll { $0 === gate }
            return state.isEmpty
        }
    }
}

extension UpgradeRejection {
    package init(_ refusal: ConnectionTable.Refusal) {
        self =
            switch refusal {
            case .tooMany: .serviceUnavailable
            case .tooManyOfAddress: .tooManyRequests
            }
    }
}
