import CrossServerWire
import HTTPTypes
import NIOCore
import NIOEmbedded
import Testing

@testable import CrossServerWebSocket

@Suite struct HandshakeHandlerTests {
    /// A server's channel with the handshake on it.
    final class ServerEnd {
        let channel = EmbeddedChannel()
        let socket = TestSocket()
        let delegate = TestDelegate()
        var requests: [UpgradeRequest] = []
        var failures: [any Error] = []
        var decision: (UpgradeRequest) -> UpgradeDecision = { request in
            do throws(UpgradeRejection) {
                return .accept(try ServerHandshake.accept(request, deflate: .init()))
            } catch {
                return .reject(error)
            }
        }

        init() throws {
            let flusher = WebSocketFlusher(eventLoop: self.channel.eventLoop)
            let handler = ServerHandshakeHandler(
                maximumHeadSize: 2_048,
                decide: { [unowned self] request, _ in
                    self.requests.append(request)
                    return self.decision(request)
                },
                upgraded: { [delegate] _, _, acceptance in
                    WebSocketHandler(
                        role: .server,
                        configuration: .init(),
                        deflate: acceptance.deflate,
                        flusher: flusher,
                        delegate: delegate
                    )
                },
                failed: { [unowned self] in self.failures.append($0) }
            )
            try self.channel.connect(to: .init(ipAddress: "127.0.0.1", port: 1)).wait()
            try self.channel.pipeline.syncOperations.addHandlers(self.socket, handler)
            self.delegate.onMessage = { handler, message in
                _ = handler.send(EncodedMessage(text: message.payload))
            }
        }

        deinit { self.channel.discard() }

        func receive(_ bytes: some Sequence<UInt8>) throws {
            try self.channel.writeInbound(ByteBuffer(bytes: bytes))
            self.channel.embeddedEventLoop.run()
        }

        func output() throws -> String {
            var text = ""
            while let buffer = try self.channel.readOutbound(as: ByteBuffer.self) { text += String(buffer: buffer) }
            return text
        }
    }

    static let head =
        "GET /x?id=7 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

    @Test(arguments: [1, 10, .max])
    func upgradeWithFramesRightBehindTheHead(size: Int) throws {
        let server = try ServerEnd()
        let bytes = Array(Self.head.utf8) + FrameBytes.text("first") + FrameBytes.text("second")
        for piece in bytes.pieces(of: min(size, bytes.count)) { try server.receive(piece) }
        let output = try server.output()
        #expect(output.hasPrefix("HTTP/1.1 101 Switching Protocols\r\n"))
        #expect(output.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"))
        #expect(server.delegate.messages == [.text("first"), .text("second")])
        #expect(server.requests.map(\.target) == ["/x?id=7"])
        #expect(server.failures.isEmpty)
        #expect(throws: (any Error).self) {
            try server.channel.pipeline.syncOperations.handler(type: ServerHandshakeHandler.self)
        }
        server.channel.close(promise: nil)
        server.channel.embeddedEventLoop.run()
        #expect(server.failures.isEmpty)
        #expect(server.delegate.closes.map(\.code) == [1006])
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "426 Upgrade Required", "Upgrade Required"),
        ("GET / HTTP/1.0\r\n\r\n", "426 Upgrade Required", "Upgrade Required"),
        ("garbage\r\n\r\n", "400 Bad Request", "Bad Request"),
        ("GET / HTTP/1.1\nHost: a\n\n", "400 Bad Request", "Bad Request"),
        (Self.head.replacing("13", with: "8"), "400 Bad Request", "Bad Request"),
        (Self.head.replacing("GET", with: "PUT"), "405 Method Not Allowed", "Method Not Allowed"),
        (
            String(repeating: "x", count: 3_000), "431 Request Header Fields Too Large",
            "Request Header Fields Too Large"
        ),
    ])
    func rejected(head: String, status: String, body: String) throws {
        let server = try ServerEnd()
        try server.receive(head.utf8)
        let output = try server.output()
        #expect(output.hasPrefix("HTTP/1.1 \(status)\r\n"))
        #expect(output.hasSuffix("\r\n\r\n\(body)"))
        #expect(output.contains("Content-Length: \(body.utf8.count)\r\n"))
        #expect(output.contains("Connection: close\r\n"))
        if status.hasPrefix("426") { #expect(output.contains("Upgrade: websocket\r\n")) }
        #expect(server.failures.count == 1)
        #expect((server.failures.first as? UpgradeRejection).map { status.hasPrefix("\($0.status)") } == true)
        // The answer is not lost to a reset: the rest is read and thrown away.
        #expect(server.socket.isOutputClosed)
        try server.receive(Array(repeating: 0x20, count: 5_000))
        #expect(server.channel.isActive)
        server.channel.embeddedEventLoop.advanceTime(by: .seconds(1))
        #expect(!server.channel.isActive)
        #expect(server.failures.count == 1)
    }

    @Test func theApplicationRejects() throws {
        let server = try ServerEnd()
        server.decision = { _ in
            .reject(.init(status: 401, reasonPhrase: "No\r\nEvil: 1", headers: [.retryAfter: "5"], body: "no"))
        }
        try server.receive(Self.head.utf8)
        let output = try server.output()
        #expect(output.hasPrefix("HTTP/1.1 401 NoEvil: 1\r\n"))
        #expect(output.contains("Retry-After: 5\r\n"))
    }

    @Test(arguments: ["accept", "reject", "fail"])
    func theApplicationDecidesLater(answer: String) throws {
        let server = try ServerEnd()
        let promise = server.channel.eventLoop.makePromise(of: Result<UpgradeAcceptance, UpgradeRejection>.self)
        server.decision = { _ in .pending(promise.futureResult) }
        try server.receive(Array(Self.head.utf8) + FrameBytes.text("early"))
        #expect(try server.output() == "")
        let reads = server.socket.readCount
        server.channel.read()
        #expect(server.socket.readCount == reads)
        switch answer {
        case "accept": promise.succeed(.success(try ServerHandshake.accept(server.requests[0])))
        case "reject": promise.succeed(.failure(.serviceUnavailable))
        default: promise.fail(ChannelError.eof)
        }
        server.channel.embeddedEventLoop.run()
        #expect(server.socket.readCount == reads + 1)
        let output = try server.output()
        switch answer {
        case "accept":
            #expect(output.hasPrefix("HTTP/1.1 101"))
            #expect(server.delegate.messages == [.text("early")])
        case "reject":
            #expect(output.hasPrefix("HTTP/1.1 503"))
        default:
            #expect(output.hasPrefix("HTTP/1.1 500"))
        }
    }

    @Test func theClientLeavesBeforeTheDecision() throws {
        let server = try ServerEnd()
        let promise = server.channel.eventLoop.makePromise(of: Result<UpgradeAcceptance, UpgradeRejection>.self)
        server.decision = { _ in .pending(promise.futureResult) }
        try server.receive(Self.head.utf8)
        server.channel.close(promise: nil)
        server.channel.embeddedEventLoop.run()
        promise.succeed(.success(.init()))
        server.channel.embeddedEventLoop.run()
        #expect(server.failures.map { $0 as? WebSocketHandshakeError } == [.closed])
        #expect(server.delegate.closes.isEmpty)
    }

    @Test func tooMuchBeforeTheDecision() throws {
        let server = try ServerEnd()
        let promise = server.channel.eventLoop.makePromise(of: Result<UpgradeAcceptance, UpgradeRejection>.self)
        server.decision = { _ in .pending(promise.futureResult) }
        try server.receive(Self.head.utf8)
        try server.receive(Array(repeating: 0, count: 3_000))
        #expect(try server.output().hasPrefix("HTTP/1.1 400"))
        promise.succeed(.success(.init()))
        server.channel.embeddedEventLoop.run()
        #expect(try server.output() == "")
    }

    @Test(arguments: ["", "Sec-WebSocket-Protocol: token.abc, chat\r\n"])
    func aRefusalThatBrowsersCanSee(offer: String) throws {
        let server = try ServerEnd()
        server.decision = { _ in .reject(.unauthorized.closing()) }
        try server.receive(Self.head.replacing("Host: a\r\n", with: "Host: a\r\n\(offer)").utf8)
        var output = try #require(try server.channel.readOutbound(as: ByteBuffer.self))
        let size = output.readableBytes - 2 - 14
        let head = output.readString(length: size) ?? ""
        #expect(head.hasPrefix("HTTP/1.1 101 Switching Protocols\r\n"))
        #expect(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"))
        #expect(head.contains("Sec-WebSocket-Protocol: token.abc\r\n") == !offer.isEmpty)
        #expect(Array(output.readableBytesView) == [0x88, 14, 0x0F, 0xAB] + Array("Auth failure".utf8))
        #expect((server.failures.first as? UpgradeRejection)?.status == 401)
        #expect(server.socket.isOutputClosed)
        #expect(server.delegate.closes.isEmpty, "it was never a connection")
    }

    @Test func aRefusalWithACodeOfWhatIsNoHandshakeIsHTTP() throws {
        let server = try ServerEnd()
        server.decision = { _ in .reject(.forbidden.closing(with: 1006, reason: "no")) }
        try server.receive("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
        #expect(try server.output().hasPrefix("HTTP/1.1 403 Forbidden\r\n"))
        #expect(UpgradeRejection.forbidden.closing(with: 1006).close?.code == .normalClosure)
    }

    @Test func aClientThatClosesItsHalfBehindItsRequestGetsTheReply() throws {
        let server = try ServerEnd()
        try server.receive(Array(Self.head.utf8) + FrameBytes.text("first"))
        server.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        server.channel.embeddedEventLoop.run()
        let output = try server.output()
        #expect(output.hasPrefix("HTTP/1.1 101 "))
        #expect(output.contains("first") && output.hasSuffix("end of input"))
        #expect(!server.channel.isActive)
    }

    @Test func aClientThatClosesItsHalfWaitsForTheDecision() throws {
        let server = try ServerEnd()
        let promise = server.channel.eventLoop.makePromise(of: Result<UpgradeAcceptance, UpgradeRejection>.self)
        server.decision = { _ in .pending(promise.futureResult) }
        try server.receive(Array(Self.head.utf8) + FrameBytes.text("first"))
        server.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        server.channel.embeddedEventLoop.run()
        #expect(server.channel.isActive)
        promise.succeed(.success(.init()))
        server.channel.embeddedEventLoop.run()
        let output = try server.output()
        #expect(output.hasPrefix("HTTP/1.1 101 "))
        #expect(output.contains("first") && output.hasSuffix("end of input"))
        #expect(!server.channel.isActive)
    }

    @Test func aClientThatClosesItsHalfBeforeItHasAskedIsCut() throws {
        let server = try ServerEnd()
        try server.receive(Array(Self.head.utf8.dropLast(2)))
        server.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        server.channel.embeddedEventLoop.run()
        #expect(!server.channel.isActive)
        #expect(server.failures.count == 1)
    }

    /// A client's channel with the handshake on it.
    final class ClientEnd {
        let channel = EmbeddedChannel()
        let handshake: ClientHandshake
        let delegate = TestDelegate()
        var failures: [WebSocketHandshakeError?] = []

        init() throws {
            self.handshake = ClientHandshake(host: "a", target: "/", deflate: .init())
            let flusher = WebSocketFlusher(eventLoop: self.channel.eventLoop)
            let handler = ClientHandshakeHandler(
                handshake: self.handshake,
                maximumHeadSize: 2_048,
                upgraded: { [delegate] _, _, deflate in
                    WebSocketHandler(
                        role: .client,
                        configuration: .init(),
                        deflate: deflate,
                        flusher: flusher,
                        delegate: delegate
                    )
                },
                failed: { [unowned self] in self.failures.append($0 as? WebSocketHandshakeError) }
            )
            try self.channel.pipeline.syncOperations.addHandler(handler)
            try self.channel.connect(to: .init(ipAddress: "127.0.0.1", port: 1)).wait()
        }

        deinit { self.channel.discard() }

        func receive(_ text: String) throws {
            try self.channel.writeInbound(ByteBuffer(string: text))
            self.channel.embeddedEventLoop.run()
        }
    }

    @Test func bothEndsTogether() throws {
        let server = try ServerEnd()
        let client = try ClientEnd()
        let request = try #require(try client.channel.readOutbound(as: ByteBuffer.self))
        try server.receive(request.readableBytesView)
        try client.receive(try server.output())
        #expect(client.failures.isEmpty)
        let handler = try client.channel.pipeline.syncOperations.handler(type: WebSocketHandler.self)
        let text = String(repeating: "compressed ", count: 50)
        _ = handler.send(.init(text: text))
        client.channel.embeddedEventLoop.run()
        let frame = try #require(try client.channel.readOutbound(as: ByteBuffer.self))
        #expect(frame.readableBytes < 100)
        try server.receive(frame.readableBytesView)
        #expect(server.delegate.messages == [.text(text)])
    }

    @Test(
        arguments: [
            ("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nnope", .rejected(status: 401, body: "no")),
            ("HTTP/1.1 503 X\r\nConnection: close\r\n\r\nbusy", .rejected(status: 503, body: "busy")),
            (
                "HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbusy\r\n0\r\n\r\n",
                .rejected(status: 503, body: "busy")
            ),
            (
                "HTTP/1.1 429 X\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
                .rejected(status: 429, body: "", retryAfter: .seconds(7))
            ),
            ("HTTP/1.1 200 OK\r\n\r\n", .rejected(status: 200, body: "")),
            ("nonsense\r\n\r\n", .invalidResponse("invalid status line")),
            ("HTTP/1.1 101 X\r\n\r\n", .invalidResponse("Upgrade is not websocket")),
        ] as [(String, WebSocketHandshakeError)]
    )
    func failedAnswer(answer: String, error: WebSocketHandshakeError) throws {
        let client = try ClientEnd()
        try client.receive(answer)
        #expect(client.failures == [error])
        #expect(!client.channel.isActive)
    }

    @Test(arguments: [1, .max])
    func interimAnswersAreSkipped(size: Int) throws {
        let client = try ClientEnd()
        let accept = HandshakeKey.accept(for: client.handshake.key)
        let answer =
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 101 X\r\n"
            + "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: \(accept)\r\n\r\n"
        for piece in Array(answer.utf8).pieces(of: min(size, answer.utf8.count)) {
            try client.receive(String(decoding: piece, as: UTF8.self))
        }
        #expect(client.failures.isEmpty)
        _ = try client.channel.pipeline.syncOperations.handler(type: WebSocketHandler.self)
    }

    @Test func interimAnswersAreBounded() throws {
        let interim = "HTTP/1.1 102 Processing\r\n\r\n"
        let patient = try ClientEnd()
        try patient.receive(String(repeating: interim, count: ClientHandshakeHandler.maximumInterimAnswers))
        #expect(patient.failures.isEmpty)
        try patient.receive(interim)
        #expect(patient.failures == [.invalidResponse("too many interim answers")])
        #expect(!patient.channel.isActive)
    }

    @Test(
        arguments: [
            ("120", 120), ("0", 0), ("99999999999999999999", 999_999_999), ("-1", nil), ("1.5", nil), ("", nil),
            ("soon", nil),
            ("Tue, 01 Mar 2016 00:00:10 GMT", 86_410), ("Sun, 28 Feb 2016 23:59:59 GMT", 0),
            ("Mon, 29 Feb 2016 25:00:00 GMT", nil), ("Mon, 29 Foo 2016 00:00:00 GMT", nil),
        ] as [(String, Int?)]
    )
    func retryAfter(value: String, seconds: Int?) {
        let headers: HTTPFields = [.date: "Mon, 29 Feb 2016 00:00:00 GMT", .retryAfter: value]
        #expect(RetryAfter.parse(headers) == seconds.map { .seconds($0) })
    }

    @Test func aDateToRetryNeedsTheDateOfTheAnswer() {
        #expect(RetryAfter.parse([.retryAfter: "Tue, 01 Mar 2016 00:00:10 GMT"]) == nil)
        #expect(RetryAfter.parse([:]) == nil)
        let headers: HTTPFields = [
            .date: "Fri, 31 Dec 1999 23:59:59 GMT", .retryAfter: "Sat, 01 Jan 2000 00:00:00 GMT",
        ]
        #expect(RetryAfter.parse(headers) == .seconds(1))
    }

    @Test func aBodyThatEndsWithTheConnection() throws {
        let client = try ClientEnd()
        try client.receive("HTTP/1.1 403 No\r\nContent-Length: 100\r\n\r\nfor")
        try client.receive("bidden")
        #expect(client.failures.isEmpty)
        client.channel.close(promise: nil)
        client.channel.embeddedEventLoop.run()
        #expect(client.failures == [.rejected(status: 403, body: "forbidden")])
    }

    @Test func theServerLeaves() throws {
        let client = try ClientEnd()
        try client.receive("HTTP/1.1 101")
        client.channel.close(promise: nil)
        client.channel.embeddedEventLoop.run()
        #expect(client.failures == [.closed])
    }
}
