import CrossServerRESP
import CrossServerRedis
import NIOCore
import NIOPosix
import Testing

/// Runs a broker for the time of a test.
func withBroker<Result: Sendable>(
    _ change: (inout EmbeddedBroker.Configuration) -> Void = { _ in },
    _ body: (EmbeddedBroker, SocketAddress) async throws -> Result
) async throws -> Result {
    var configuration = EmbeddedBroker.Configuration()
    configuration.port = 0
    change(&configuration)
    let broker = EmbeddedBroker(configuration: configuration)
    return try await withThrowingTaskGroup { tasks in
        tasks.addTask { try await broker.run() }
        let address = try await eventually { broker.listeningAddress }
        let result = try await body(broker, address)
        tasks.cancelAll()
        try await tasks.waitForAll()
        return result
    }
}

struct NeverHappened: Error {}

/// Waits until there is a value. A time limit of the test, or 100 seconds, end the wait.
func eventually<Value>(_ value: () async throws -> Value?) async throws -> Value {
    let end = ContinuousClock.now + .seconds(100)
    while ContinuousClock.now < end {
        if let value = try await value() { return value }
        try await Task.sleep(for: .milliseconds(5))
    }
    throw NeverHappened()
}

/// A client of the broker that says and reads what a test wants, and reads nothing while it does not want to.
struct BrokerPeer {
    private let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    private var inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
    private var parser = RESPParser()
    private var buffer = ByteBuffer()

    static func with<Result: Sendable>(
        _ address: SocketAddress,
        _ body: (inout BrokerPeer) async throws -> Result
    ) async throws -> Result {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.socketOption(.so_rcvbuf), value: 65_536)
            .connect(to: address) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            var peer = BrokerPeer(outbound: outbound, inbound: inbound.makeAsyncIterator())
            return try await body(&peer)
        }
    }

    private init(
        outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>,
        inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
    ) {
        self.outbound = outbound
        self.inbound = inbound
    }

    func send(_ text: String) async throws {
        try await self.outbound.write(ByteBuffer(string: text))
    }

    func send(_ buffer: ByteBuffer) async throws {
        try await self.outbound.write(buffer)
    }

    /// - Returns: nil when the broker has closed the connection.
    mutating func next() async throws -> RESPValue? {
        while true {
            if let value = try self.parser.next(from: &self.buffer) { return value }
            guard let piece = try await self.received() else { return nil }
            self.buffer.writeImmutableBuffer(piece)
        }
    }

    mutating func expectPong(_ location: SourceLocation = #_sourceLocation) async throws {
        let reply = try await self.ask("PING")
        #expect(reply == .simpleString("PONG"), sourceLocation: location)
    }

    /// Reads until the broker closes the connection.
    mutating func expectClosed() async throws {
        while try await self.received() != nil {}
    }

    private mutating func received() async throws -> ByteBuffer? {
        do {
            return try await self.inbound.next()
        } catch is IOError {
            // A connection that is closed with bytes unread is reset.
            return nil
        }
    }

    mutating func ask(_ line: String) async throws -> RESPValue? {
        try await self.send(line + "\r\n")
        return try await self.next()
    }
}
