import CrossServer
import CrossServerBus
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization

/// The servers of the demonstration, each of which can be stopped, killed and started again while the others go on.
final class DemoCluster: Service {
    static let names = ["serverA", "serverB", "serverC"]

    /// One run of one server.
    private struct Life: Sendable {
        let adapter: WebSocketCrossServerAdapter
        let bus: SeverableBus
        let group: ServiceGroup
    }

    private struct Slot: Sendable {
        var state = NodeState.starting
        var port = 0
        /// Nil once it has been killed.
        var life: Life?
    }

    private let makeBus: @Sendable (_ serverName: String) async throws -> any Bus
    private let configuration: WebSocketCrossServerAdapter.Configuration
    private let logger: Logger
    private let slots: Mutex<[Slot]>
    private let starts = DemoCluster.names.map { _ in
        AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    }
    private let pagePort = AsyncStream<Int>.makeStream(bufferingPolicy: .bufferingOldest(1))

    /// - Parameters:
    ///   - firstPort: of the page and the first server, which another server opens; the others take the next two. 0 for
    ///     free ones.
    ///   - makeBus: called for each life of a server.
    init(
        firstPort: Int,
        configuration: WebSocketCrossServerAdapter.Configuration,
        logger: Logger,
        makeBus: @escaping @Sendable (_ serverName: String) async throws -> any Bus
    ) {
        self.makeBus = makeBus
        self.configuration = configuration
        self.logger = logger
        self.slots = Mutex(Self.names.indices.map { Slot(port: firstPort == 0 ? 0 : firstPort + $0) })
    }

    /// The first server while it runs: its connections come from the page's port.
    var first: WebSocketCrossServerAdapter? { self.slots.withLock { $0[0].life?.adapter } }

    var nodes: [PageNode] {
        self.slots.withLock { slots in
            zip(Self.names, slots).map { name, slot in
                PageNode(
                    name: name,
                    url: "ws://127.0.0.1:\(slot.port)/",
                    state: slot.state,
                    actions: slot.state.actions
                )
            }
        }
    }

    /// That of the servers that should run.
    var health: Health {
        var health = Health(problems: [])
        for (name, slot) in zip(Self.names, self.slots.withLock { $0 }) {
            switch slot.state {
            case .starting, .failed: health.problems.append("\(name) is \(slot.state)")
            case .running:
                guard let life = slot.life else { continue }
                let one = Health(life.adapter.readiness)
                health.problems += one.problems.map { "\(name): \($0)" }
                health.notes += one.notes.map { "\(name): \($0)" }
            case .stopping, .stopped, .killed: continue
            }
        }
        return health
    }

    /// Begins when the page's port is known.
    func pageListens(at port: Int) {
        self.pagePort.continuation.yield(port)
    }

    func run() async throws {
        let ports = self.pagePort.stream.cancelOnGracefulShutdown()
        guard let port = await ports.first(where: { _ in true }) else { return }
        self.slots.withLock { $0[0].port = port }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in Self.names.indices {
                self.starts[index].continuation.yield()
                group.addTask { try await self.keep(index) }
            }
            defer { group.cancelAll() }
            for try await _ in group {}
        }
    }

    /// - Returns: the node as it is then; nil when there is none with the name.
    /// - Throws: ``DemoConflict`` when the node is in no state for that.
    func carryOut(_ action: NodeAction, on name: String) async throws -> PageNode? {
        guard let index = Self.names.firstIndex(of: name) else { return nil }
        let life = try self.slots.withLock { slots throws in
            let slot = slots[index]
            guard slot.state.actions.contains(action) else { throw DemoConflict(state: slot.state) }
            switch action {
            case .start: slots[index].state = .starting
            case .stop: slots[index].state = .stopping
            case .kill:
                slots[index].state = .killed
                slots[index].life = nil
            }
            return slot.life
        }
        self.logger.notice("\(action)", metadata: ["server": "\(name)"])
        switch action {
        case .start:
            self.starts[index].continuation.yield()
        case .stop:
            await life?.group.triggerGracefulShutdown()
        case .kill:
            life?.bus.sever()
            life?.adapter.cutClients()
            await life?.group.triggerGracefulShutdown()
        }
        return self.nodes[index]
    }

    /// One life after the other.
    private func keep(_ index: Int) async throws {
        var isFirst = true
        for await _ in self.starts[index].stream.cancelOnGracefulShutdown() {
            do {
                try await self.live(index)
            } catch {
                // A server that cannot begin ends the demonstration; one that cannot begin again can be seen on the page.
                guard !isFirst else { throw error }
                self.logger.error(
                    "a server has failed",
                    metadata: ["server": "\(Self.names[index])", "error": "\(error)"]
                )
            }
            isFirst = false
        }
    }

    private func live(_ index: Int) async throws {
        let life: Life
        do {
            life = try await self.makeLife(index)
        } catch {
            self.slots.withLock { $0[index].state = .failed }
            throw error
        }
        self.slots.withLock { $0[index].life = life }
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await life.group.run() }
                if index == 0 { group.addTask { await self.opened(index, life, port: nil) } }
                for try await _ in group {}
            }
            self.ended(index, life, as: .stopped)
        } catch {
            self.ended(index, life, as: .failed)
            throw error
        }
    }

    private func makeLife(_ index: Int) async throws -> Life {
        let bus = SeverableBus(try await self.makeBus(Self.names[index]))
        let port = self.slots.withLock { $0[index].port }
        let adapter = WebSocketCrossServerAdapter(
            serverName: Self.names[index],
            listening: index == 0 ? nil : .host("127.0.0.1", port: port),
            bus: bus,
            configuration: self.configuration,
            logger: self.logger
        )
        adapter.addDemonstrationHandlers()
        let life = Life(
            adapter: adapter,
            bus: bus,
            group: ServiceGroup(configuration: .init(services: [adapter], logger: self.logger))
        )
        if index == 0 {
            adapter.expectClients()
        } else {
            adapter.onWebSocketEvent(.listening) { address async in
                await self.opened(index, life, port: address.port)
            }
        }
        return life
    }

    private func opened(_ index: Int, _ life: Life, port: Int?) async {
        await life.adapter.waitForBusIfAny()
        let node = self.slots.withLock { slots -> Slot? in
            guard slots[index].life?.bus === life.bus, slots[index].state == .starting else { return nil }
            slots[index].state = .running
            if let port { slots[index].port = port }
            return slots[index]
        }
        if let node { printLine("\(Self.names[index]) listening on 127.0.0.1:\(node.port)") }
    }

    private func ended(_ index: Int, _ life: Life, as state: NodeState) {
        self.slots.withLock { slots in
            // One that was killed may have been started again meanwhile.
            guard slots[index].life?.bus === life.bus else { return }
            slots[index].life = nil
            slots[index].state = state
        }
    }
}

struct DemoConflict: Error {
    let state: NodeState
}
