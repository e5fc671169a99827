import CrossServerBus
import NIOCore
import Synchronization

/// Which channels are subscribed for the rooms of this server: from the first member until a while after the last.
///
/// The registry of rooms has a lock of its own. So nothing here is counted: after every change it is looked up whether
/// the room is there, and the last look sees the last state.
final class RoomChannels: Sendable {
    private let transport: Transport
    private let linger: TimeAmount
    private let unsubscribes: Bool
    /// Also a channel for each room, beside that of its namespace.
    let hasOnePerRoom: Bool
    private let state: Mutex<State>

    private struct State {
        var uses: [String: Use] = [:]
        let preset: Set<String>
    }

    private struct Use {
        /// Namespaces `chat` and `ws:chat` share a channel.
        var scopes: Set<Scope> = []
        /// Counts how often it became empty, to tell a timer whether it is the last.
        var generation = 0
    }

    private enum Scope: Hashable {
        case namespace(String)
        case room(RoomName)
    }

    init(_ transport: Transport) {
        self.transport = transport
        let configuration = transport.configuration.cluster
        self.linger = TimeAmount(configuration.roomChannelLinger)
        self.unsubscribes = configuration.unsubscribesUnusedNamespaces
        self.hasOnePerRoom = configuration.subscribesEachRoom
        let preset = configuration.presetRoomNamespaces.map { transport.channels.channel(ofNamespace: $0) }
        self.state = Mutex(State(preset: Set(preset)))
    }

    /// Begins to use the bus.
    func begin() {
        let preset = self.state.withLock { $0.preset }
        if !preset.isEmpty { self.transport.subscribe(to: Array(preset)) }
    }

    /// The channels that carry the messages of a room to this server.
    func channels(of name: RoomName) -> [String] {
        let namespace = self.transport.channels.channel(ofNamespace: name.namespace)
        return self.hasOnePerRoom ? [namespace, self.transport.channels.channel(of: name)] : [namespace]
    }

    /// - Parameter isUsed: whether the namespace, or the room in it, has members now.
    func changed(_ names: [RoomName], isUsed: (_ namespace: String, _ room: String?) -> Bool) {
        guard self.transport.bus != nil else { return }
        self.state.withLock { state in
            for name in names {
                self.update(
                    &state,
                    self.transport.channels.channel(ofNamespace: name.namespace),
                    .namespace(name.namespace),
                    isUsed: isUsed(name.namespace, nil)
                )
                guard self.hasOnePerRoom else { continue }
                let isRoomUsed = isUsed(name.namespace, name.room)
                self.update(&state, self.transport.channels.channel(of: name), .room(name), isUsed: isRoomUsed)
            }
        }
    }

    // Within the lock, so that the bus sees the changes in one order.
    private func update(_ state: inout State, _ channel: String, _ scope: Scope, isUsed: Bool) {
        guard !state.preset.contains(channel) else { return }
        if isUsed {
            if state.uses[channel] == nil { self.transport.subscribe(to: [channel]) }
            state.uses[channel, default: Use()].scopes.insert(scope)
        } else if state.uses[channel]?.scopes.remove(scope) != nil, let use = state.uses[channel], use.scopes.isEmpty {
            guard self.unsubscribes else { return }
            let generation = use.generation + 1
            state.uses[channel]?.generation = generation
            self.transport.eventLoop.scheduleTask(in: self.linger) { [weak self] in self?.release(channel, generation) }
        }
    }

    private func release(_ channel: String, _ generation: Int) {
        self.state.withLock { state in
            guard let use = state.uses[channel], use.scopes.isEmpty, use.generation == generation else { return }
            state.uses[channel] = nil
            self.transport.unsubscribe(from: [channel])
        }
    }

    /// Waits until channels are heard, unless no link is usable.
    ///
    /// - Throws: ``BusError`` with `subscriptionFailed`; `CancellationError`.
    func heard(_ channels: [String], within timeout: Duration) async throws -> RoomSubscription {
        guard self.transport.bus?.links.contains(where: { $0.canPublish && $0.canReceive }) == true else {
            return .pending
        }
        do {
            try await self.transport.subscribed(to: channels, within: timeout)
            return .inForce
        } catch let error as BusError where error.code == .notConnected {
            return .pending
        }
    }
}
