package import CrossServerWebSocket
package import NIOCore
import Synchronization

/// Counts connections from the accept on, in all and per address, and says when the last one has gone.
package final class ConnectionTable: Sendable {
    private let maximum: Int
    private let maximumPerAddress: Int?
    private let state = Mutex(State())

    private struct State {
        var count = 0
        /// Those of them that have shaken hands.
        var clients = 0
        var byAddress: [String: Int] = [:]
        /// Opened when the last connection has gone.
        var gates: [Gate] = []
    }

    /// One connection that was let in. To be released once.
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
    }

    var count: Int { self.state.withLock { $0.count } }
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

    /// A connection that was let in has shaken hands: it is to be released as a client.
    func opened() {
        self.state.withLock { $0.clients += 1 }
    }

    /// - Returns: why a connection would not be let in now, or nil.
    func mayAdmit(_ remoteAddress: SocketAddress?) -> Refusal? {
        let address = self.maximumPerAddress == nil ? nil : remoteAddress?.ipAddress
        return self.state.withLock { self.refusal(of: address, $0) }
    }

    private func refusal(of address: String?, _ state: State) -> Refusal? {
        guard state.count < self.maximum else { return .tooMany }
        if let address, let maximumPerAddress, state.byAddress[address, default: 0] >= maximumPerAddress {
            return .tooManyOfAddress
        }
        return nil
    }

    package func release(_ admission: Admission, isClient: Bool = false) {
        let gates = self.state.withLock { state -> [Gate] in
            state.count -= 1
            if isClient { state.clients -= 1 }
            if let address = admission.address, let count = state.byAddress[address] {
                state.byAddress[address] = count > 1 ? count - 1 : nil
            }
            return state.count == 0 ? state.gates : []
        }
        for gate in gates { gate.open() }
    }

    /// Waits until there is no connection, but no longer than the time.
    ///
    /// - Returns: whether there is none.
    func drained(within limit: Duration) async -> Bool {
        let gate = Gate()
        let isDrained = self.state.withLock { state in
            if state.count > 0 { state.gates.append(gate) }
            return state.count == 0
        }
        if isDrained { return true }
        await gate.passed(within: limit)
        return self.state.withLock { state in
            state.gates.removeAll { $0 === gate }
            return state.count == 0
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
