import CrossServerBus
import Logging
import NIOCore
import Synchronization

// Sentinel and Cluster
extension RedisLink {
    /// Where to connect to.
    func findServer() async throws(RedisFailure) -> RedisAddress {
        guard case .sentinel(let master, _) = self.node.endpoint else { return self.members.withLock { $0.current } }
        let sentinel = self.members.withLock { $0.current }
        let steps = try await self.authentication(self.node.sentinelCredentials) + [.sentinelMaster(master)]
        do throws(RedisFailure) {
            // A Sentinel that hangs must not take the time that the others need.
            let timeout = min(self.node.connectTimeout, .seconds(1))
            let facts = try await self.dialer.dial(
                sentinel,
                saying: RedisHandshake(steps: steps),
                within: TimeAmount(timeout)
            ) { channel, facts in
                channel.closeNow()
                return facts
            }
            guard let address = facts.master else { throw RedisFailure(.discovery, "the Sentinel names no master") }
            return address
        } catch {
            self.members.withLock { $0.failed(sentinel) }
            throw RedisFailure(error.kind, "Sentinel \(sentinel): \(error.message)")
        }
    }

    /// No connection to the address: the next attempt asks another Sentinel, or takes another member.
    func failed(_ address: RedisAddress) {
        switch self.node.endpoint {
        case .server: break
        case .sentinel: self.members.withLock { $0.failed($0.current) }
        case .cluster: self.members.withLock { $0.failed(address) }
        }
    }

    /// Asks for the master at the interval of the probes. One that was replaced may live on, so that its connections
    /// do not end by themselves.
    func watchMaster() async {
        while !Task.isCancelled {
            do { try await Task.sleep(for: self.configuration.probeInterval) } catch { return }  // cancelled
            do throws(RedisFailure) {
                let master = try await self.findServer()
                for role in [RedisRole.publisher, .subscriber] {
                    let address = self.places.withLock { $0.addresses[role] }
                    guard let address, address != master else { continue }
                    self.disconnect(role, RedisFailure(.wrongRole, "the master is \(master) now, not \(address)"))
                }
            } catch {
                self.logger.debug("no Sentinel tells the master", metadata: ["error": "\(error.message)"])
            }
        }
    }
}
