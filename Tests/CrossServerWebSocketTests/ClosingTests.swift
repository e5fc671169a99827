import CrossServerWire
import NIOCore
import NIOEmbedded
import Testing

@testable import CrossServerWebSocket

@Suite struct ClosingTests {
    @Test(arguments: [WebSocketRole.server, .client])
    func peerCloses(role: WebSocketRole) throws {
        let connection = try TestConnection.added(role: role)
        try connection.receive(connection.close(4001, "bye"))
        #expect(try connection.takeOutput() == [.close(4001, "bye")])
        // The server closes first; the client waits for it.
        #expect(connection.isClosed == (role == .server))
        if role == .client { connection.advance(.seconds(5)) }
        #expect(connection.isClosed)
        #expect(connection.delegate.closes == [.init(code: 4001, reason: "bye", wasClean: true)])
        #expect(connection.handler.send(.init(text: "late")) == .closing)
    }

    @Test func peerClosesWithoutABody() throws {
        let connection = try TestConnection.added()
        try connection.receive(connection.frame(0x8))
        #expect(try connection.takeOutput() == [.close(nil, "")])
        #expect(connection.delegate.closes == [.init(code: .noStatusReceived, reason: "", wasClean: true)])
    }

    @Test(arguments: [WebSocketRole.server, .client])
    func weClose(role: WebSocketRole) throws {
        let connection = try TestConnection.added(role: role)
        _ = connection.handler.send(.init(text: "last"))
        connection.handler.close(code: .goingAway, reason: "restart")
        connection.handler.close(code: .normalClosure, reason: "twice")
        #expect(connection.handler.send(.init(text: "late")) == .closing)
        connection.turn()
        #expect(try connection.takeOutput() == [.text("last"), .close(1001, "restart")])
        #expect(!connection.isClosed)
        try connection.receive(connection.frame(0x1, [0x61]) + connection.close(1001))
        #expect(connection.delegate.messages.isEmpty)
        #expect(connection.isClosed == (role == .server))
        if role == .client { connection.channel.close(promise: nil) }
        #expect(connection.delegate.closes == [.init(code: .goingAway, reason: "", wasClean: true)])
    }

    @Test func codesThatMustNotBeSent() throws {
        for code: CloseCode in [1005, 1006, 1015, 0, 2_999] {
            let connection = try TestConnection.added()
            connection.handler.close(code: code)
            connection.turn()
            #expect(try connection.takeOutput() == [.close(1000, "")])
        }
        let connection = try TestConnection.added()
        connection.handler.close(code: nil, reason: "ignored")
        connection.turn()
        #expect(try connection.takeOutput() == [.close(nil, "")])
    }

    @Test func thePeerNeverAnswers() throws {
        let connection = try TestConnection.added { $0.closeTimeout = .milliseconds(100) }
        connection.handler.close(code: .pongTimeout, reason: "pong timeout")
        connection.turn()
        connection.advance(.milliseconds(99))
        #expect(!connection.isClosed)
        connection.advance(.milliseconds(1))
        #expect(connection.isClosed)
        #expect(connection.delegate.closes == [.init(code: .pongTimeout, reason: "pong timeout", wasClean: false)])
    }

    @Test func theConnectionEndsWithoutAClose() throws {
        let connection = try TestConnection.added()
        connection.receiveEnd()
        #expect(connection.isClosed)
        #expect(connection.delegate.closes == [.init(code: .abnormalClosure, reason: "", wasClean: false)])
    }

    @Test(arguments: [WebSocketRole.server, .client])
    func aPeerThatClosesItsHalfGetsItsAnswers(role: WebSocketRole) throws {
        let connection = try TestConnection.added(role: role)
        connection.delegate.onMessage = { handler, message in
            _ = handler.send(EncodedMessage(text: message.payload))
        }
        connection.socket.isStuck = true
        try connection.receive(connection.frame(0x1, [0x61]))
        connection.receiveEnd()
        #expect(!connection.isClosed)
        connection.unblock()
        #expect(try connection.takeOutput() == [.text("a"), .close(1000, "end of input")])
        #expect(connection.isClosed)
        #expect(connection.delegate.closes == [.init(code: .abnormalClosure, reason: "", wasClean: false)])
    }

    @Test func aPeerThatClosesItsHalfWhileWeCloseGetsOurFrame() throws {
        let connection = try TestConnection.added()
        connection.socket.isStuck = true
        connection.handler.close(code: .goingAway)
        connection.turn()
        connection.receiveEnd()
        #expect(!connection.isClosed)
        connection.unblock()
        #expect(try connection.takeOutput() == [.close(1001, "")])
        #expect(connection.isClosed)
        #expect(connection.delegate.closes.map(\.code) == [.goingAway])
    }

    @Test func halfClosedPeerStillGetsTheEcho() throws {
        let connection = try TestConnection.added(role: .client)
        connection.socket.isStuck = true
        try connection.receive(connection.close(1000))
        connection.receiveEnd()
        #expect(!connection.isClosed)
        connection.unblock()
        #expect(try connection.takeOutput() == [.close(1000, "")])
        #expect(connection.isClosed)
        #expect(connection.delegate.closes.map(\.wasClean) == [true])
    }

    @Test(
        arguments: [
            (FrameBytes.frame(0x3), 1002),
            (FrameBytes.frame(0x1, [0xFF]), 1007),
            (FrameBytes.frame(0x2, announced: 2_000_000), 1009),
        ] as [([UInt8], UInt16)]
    )
    func violation(bytes: [UInt8], code: UInt16) throws {
        let connection = try TestConnection.added()
        connection.delegate.onMessage = { handler, message in
            _ = handler.send(EncodedMessage(text: message.payload))
        }
        try connection.receive(FrameBytes.text("before") + bytes + FrameBytes.text("after"))
        let output = try connection.takeOutput()
        #expect(output.first == .text("before"))
        guard output.count == 2, case .close(code, _) = output[1] else {
            Issue.record("\(output)")
            return
        }
        #expect(connection.delegate.errors.compactMap { ($0 as? WebSocketError)?.closeCode.rawValue } == [code])
        // No reset: the rest is read and thrown away until the peer closes.
        #expect(connection.socket.isOutputClosed)
        try connection.receive(FrameBytes.text("ignored") + FrameBytes.close(1000))
        #expect(!connection.isClosed)
        connection.receiveEnd()
        #expect(connection.isClosed)
        #expect(connection.delegate.messages == [.text("before")])
        #expect(connection.delegate.closes.map(\.code.rawValue) == [code])
        #expect(connection.delegate.closes.map(\.wasClean) == [false])
    }

    @Test func violationOfAPeerThatStaysIsCut() throws {
        let connection = try TestConnection.added()
        try connection.receive(FrameBytes.frame(0x3))
        connection.advance(.seconds(4))
        #expect(!connection.isClosed)
        connection.advance(.seconds(1))
        #expect(connection.isClosed)
        #expect(connection.delegate.closes.count == 1)
    }

    @Test func violationWhileWeClose() throws {
        let connection = try TestConnection.added()
        connection.handler.close(code: .goingAway)
        connection.turn()
        try connection.receive(FrameBytes.frame(0x3))
        #expect(try connection.takeOutput() == [.close(1001, "")])
        #expect(connection.socket.isOutputClosed)
        connection.receiveEnd()
        #expect(connection.delegate.closes == [.init(code: .goingAway, reason: "", wasClean: false)])
    }

    @Test func terminate() throws {
        let connection = try TestConnection.added()
        _ = connection.handler.send(.init(text: "lost"))
        connection.handler.terminate()
        connection.handler.terminate()
        connection.turn()
        #expect(connection.isClosed)
        #expect(try connection.takeOutput() == [])
        #expect(connection.delegate.closes == [.init(code: .abnormalClosure, reason: "", wasClean: false)])
    }

    @Test func terminateWithinAMessage() throws {
        let connection = try TestConnection.added()
        connection.delegate.onMessage = { handler, _ in handler.terminate() }
        try connection.receive(FrameBytes.text("a") + FrameBytes.text("b"))
        #expect(connection.delegate.messages == [.text("a")])
        #expect(connection.delegate.closes.count == 1)
    }

    @Test func terminatedBeforeItIsAdded() throws {
        let connection = try TestConnection()
        connection.handler.terminate()
        try connection.addHandler()
        connection.turn()
        #expect(connection.isClosed)
        #expect(connection.delegate.closes.map(\.code) == [.abnormalClosure])
    }

    @Test func closedBeforeItIsAdded() throws {
        let connection = try TestConnection()
        connection.handler.close(code: 4011, reason: "Auth failure")
        try connection.addHandler()
        connection.turn()
        #expect(try connection.takeOutput() == [.close(4011, "Auth failure")])
        connection.advance(.seconds(5))
        #expect(connection.isClosed)
        #expect(connection.delegate.closes.map(\.code) == [4011])
    }

    @Test func theHandlerIsRemoved() throws {
        let connection = try TestConnection.added()
        connection.channel.pipeline.syncOperations.removeHandler(connection.handler, promise: nil)
        connection.turn()
        #expect(connection.delegate.closes.map(\.code) == [.abnormalClosure])
        #expect(connection.handler.channel == nil)
        connection.channel.close(promise: nil)
        connection.turn()
        #expect(connection.delegate.closes.count == 1)
    }

    struct Broken: Error {}

    @Test func inputError() throws {
        let connection = try TestConnection.added()
        connection.channel.pipeline.fireErrorCaught(Broken())
        connection.turn()
        #expect(connection.isClosed)
        #expect(connection.delegate.errors.count == 1)
        #expect(connection.delegate.closes.map(\.code) == [.abnormalClosure])
    }

    @Test func theDelegateIsReleased() throws {
        weak var released: TestDelegate?
        let channel = EmbeddedChannel()
        let handler: WebSocketHandler
        do {
            let delegate = TestDelegate()
            released = delegate
            handler = WebSocketHandler(
                role: .server,
                configuration: .init(),
                deflate: nil,
                flusher: WebSocketFlusher(eventLoop: channel.eventLoop),
                delegate: delegate
            )
        }
        try channel.pipeline.syncOperations.addHandler(handler)
        #expect(released != nil)
        handler.terminate()
        channel.embeddedEventLoop.run()
        #expect(released == nil)
        #expect(!handler.isOpen)
    }

    @Test(arguments: [true, false])
    func backToBack(serverCloses: Bool) throws {
        let server = try TestConnection.added()
        let client = try TestConnection.added(role: .client)
        server.delegate.onMessage = { handler, message in
            _ = handler.send(EncodedMessage(text: message.payload))
        }
        for text in ["", "hello", String(repeating: "é", count: 40_000)] {
            _ = client.handler.send(.init(text: text))
        }
        client.handler.ping(ByteBuffer(string: "?"))
        try exchange(client, server)
        #expect(client.delegate.messages.count == 3)
        #expect(client.delegate.messages == server.delegate.messages)
        #expect(client.delegate.pongs == ["?"])
        (serverCloses ? server : client).handler.close(code: 4010, reason: "Forced logout")
        try exchange(client, server)
        #expect(server.isClosed && client.isClosed)
        #expect(client.delegate.closes.map(\.code) == [4010] && server.delegate.closes.map(\.code) == [4010])
        #expect(client.delegate.closes.map(\.wasClean) == [true] && server.delegate.closes.map(\.wasClean) == [true])
    }
}
