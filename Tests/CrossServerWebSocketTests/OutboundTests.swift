import CrossServerWire
import NIOCore
import NIOEmbedded
import Testing

@testable import CrossServerWebSocket

@Suite struct OutboundTests {
    static func message(_ text: String) -> EncodedMessage { EncodedMessage(text: text) }

    @Test func nothingIsWrittenBeforeTheTurnEnds() throws {
        let connection = try TestConnection.added()
        #expect(connection.handler.send(Self.message("a")) == .sent)
        #expect(connection.socket.writes.isEmpty)
        #expect(connection.handler.waitingBytes == 3)
        connection.turn()
        #expect(try connection.takeOutput() == [.text("a")])
        #expect(connection.handler.waitingBytes == 0)
    }

    @Test func oneMessageIsWrittenWithoutACopy() throws {
        let connection = try TestConnection.added()
        let message = Self.message("shared by many")
        _ = connection.handler.send(message)
        connection.turn()
        let address = { (buffer: ByteBuffer) in buffer.withUnsafeReadableBytes { $0.baseAddress } }
        #expect(connection.socket.writes.count == 1)
        #expect(address(connection.socket.writes[0]) == address(message.frame))
    }

    @Test func smallMessagesOfATurnAreOneWrite() throws {
        let connection = try TestConnection.added()
        for number in 0..<50 { _ = connection.handler.send(Self.message("message \(number)")) }
        connection.turn()
        #expect(connection.socket.writes.count == 1)
        #expect(connection.socket.flushCount == 1)
        #expect(try connection.takeOutput() == (0..<50).map { .text("message \($0)") })
    }

    @Test func messagesForOnePeerKeepTheirPlaceAmongOthers() throws {
        let connection = try TestConnection.added()
        let long = String(repeating: "x", count: 300)
        let large = String(repeating: "y", count: 10_000)
        #expect(connection.sendAlone("a") == .sent)
        #expect(connection.sendAlone(long) == .sent)
        #expect(connection.handler.waitingBytes == 3 + 304)
        _ = connection.handler.send(Self.message("b"))
        #expect(connection.sendAlone("c") == .sent)
        #expect(connection.sendAlone(large) == .sent)
        #expect(connection.sendAlone("d") == .sent)
        connection.turn()
        #expect(try connection.takeOutput() == ["a", long, "b", "c", large, "d"].map { .text($0) })
        #expect(connection.socket.flushCount == 1)
        #expect(connection.handler.waitingBytes == 0)
    }

    @Test func peersThatShareAFlusherGetTheirOwn() throws {
        let first = try TestConnection.added()
        let second = try TestConnection(flusher: first.flusher)
        try second.addHandler()
        for number in 0..<3 {
            #expect(first.sendAlone("first \(number)") == .sent)
            #expect(second.sendAlone("second \(number)") == .sent)
        }
        first.turn()
        second.turn()
        #expect(try first.takeOutput() == (0..<3).map { .text("first \($0)") })
        #expect(try second.takeOutput() == (0..<3).map { .text("second \($0)") })
        #expect(first.socket.flushCount == 1)
    }

    @Test func framesOfAPeerThatGoesAreForgotten() throws {
        let first = try TestConnection.added()
        let second = try TestConnection(flusher: first.flusher)
        try second.addHandler()
        #expect(first.sendAlone("lost") == .sent)
        first.handler.terminate()
        #expect(first.sendAlone("refused") == .closing)
        #expect(second.sendAlone("kept") == .sent)
        first.turn()
        second.turn()
        #expect(try first.takeOutput().isEmpty)
        #expect(try second.takeOutput() == [.text("kept")])
    }

    @Test func messagesForOnePeerAreBoundedToo() throws {
        let connection = try TestConnection.added {
            $0.outbound = .init(maximumWaitingBytes: 100, policy: .dropNewest)
        }
        connection.block()
        let results = (0..<50).map { connection.sendAlone("message \($0)") }
        #expect(results.filter { $0 == .sent }.count < 12)
        #expect(connection.delegate.dropped.count == results.filter { $0 == .dropped }.count)
        #expect(connection.handler.waitingBytes <= 100)
        connection.unblock()
        let sent = zip(0..., results).filter { $0.1 == .sent }.map { $0.0 }
        #expect(try connection.takeOutput() == sent.map { .text("message \($0)") })
    }

    @Test func controlFramesComeBeforeMessagesForOnePeer() throws {
        let connection = try TestConnection.added()
        #expect(connection.sendAlone("message") == .sent)
        connection.handler.ping(ByteBuffer(string: "first"))
        connection.turn()
        #expect(try connection.takeBytes() == [0x89, 5] + "first".utf8 + [0x81, 7] + "message".utf8)
    }

    @Test func aCloseComesBehindMessagesForOnePeer() throws {
        let connection = try TestConnection.added()
        #expect(connection.sendAlone("last") == .sent)
        connection.handler.close(code: .normalClosure)
        connection.turn()
        let output = try connection.takeOutput()
        #expect(output.first == .text("last"))
        #expect(output.count == 2)
    }

    @Test func largeMessagesAreNotCopied() throws {
        let connection = try TestConnection.added()
        let large = Self.message(String(repeating: "x", count: 10_000))
        for message in [Self.message("a"), large, Self.message("b"), Self.message("c")] {
            _ = connection.handler.send(message)
        }
        connection.turn()
        #expect(connection.socket.writes.map(\.readableBytes) == [3, 10_004, 6])
        let address = { (buffer: ByteBuffer) in buffer.withUnsafeReadableBytes { $0.baseAddress } }
        #expect(address(connection.socket.writes[1]) == address(large.frame))
        #expect(connection.socket.flushCount == 1)
    }

    @Test(arguments: [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
    func clientsMaskEverySize(size: Int) throws {
        let connection = try TestConnection.added(role: .client)
        let payload = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        _ = connection.handler.send(.init(binary: ByteBuffer(bytes: payload)))
        _ = connection.handler.send(Self.message("after"))
        connection.turn()
        #expect(try connection.takeOutput() == [.binary(payload), .text("after")])
    }

    @Test(arguments: [0, 1, 125, 126, 65_535, 65_536])
    func encodedMessageOfEverySize(size: Int) {
        let payload = [UInt8](repeating: 0x61, count: size)
        let messages = [
            EncodedMessage(text: String(repeating: "a", count: size)),
            EncodedMessage(text: ByteBuffer(bytes: payload)),
            EncodedMessage(kind: .text, payloadCapacity: 1) { $0.writeBytes(payload) },
        ]
        for message in messages {
            #expect(message.payloadSize == size)
            #expect(Array(message.payload.readableBytesView) == payload)
            #expect(Array(message.frame.readableBytesView) == FrameBytes.frame(0x1, payload, masked: false))
        }
        #expect(EncodedMessage(binary: ByteBuffer(bytes: payload)).kind == .binary)
    }

    @Test func messagesSentBeforeTheHandlerIsAdded() throws {
        let connection = try TestConnection()
        #expect(connection.handler.send(Self.message("early")) == .sent)
        try connection.addHandler()
        connection.turn()
        #expect(try connection.takeOutput() == [.text("early")])
    }

    @Test func aBlockedChannelIsNotWrittenToAndContinuesInOrder() throws {
        let connection = try TestConnection.added()
        connection.block()
        for number in 0..<2_000 { #expect(connection.handler.send(Self.message("\(number)")) == .sent) }
        connection.turn()
        #expect(connection.socket.writes.isEmpty)
        connection.unblock()
        #expect(try connection.takeOutput() == (0..<2_000).map { .text("\($0)") })
        #expect(connection.handler.waitingBytes == 0)
    }

    static func limited(_ policy: OutboundLimit.Policy) throws -> TestConnection {
        let connection = try TestConnection.added {
            $0.outbound = .init(maximumWaitingBytes: 9, policy: policy)
        }
        connection.block()
        return connection
    }

    @Test func dropNewest() throws {
        let connection = try Self.limited(.dropNewest)
        // Frames of 3 bytes.
        #expect(
            "abcde".map { connection.handler.send(Self.message(String($0))) } == [
                .sent, .sent, .sent, .dropped, .dropped,
            ]
        )
        #expect(connection.delegate.dropped == ["d", "e"])
        connection.unblock()
        #expect(try connection.takeOutput() == [.text("a"), .text("b"), .text("c")])
        #expect(connection.handler.send(Self.message("f")) == .sent)
        connection.turn()
        #expect(try connection.takeOutput() == [.text("f")])
    }

    @Test func dropOldest() throws {
        let connection = try Self.limited(.dropOldest)
        #expect("abcde".map { connection.handler.send(Self.message(String($0))) } == Array(repeating: .sent, count: 5))
        #expect(connection.delegate.dropped == ["a", "b"])
        connection.handler.ping(ByteBuffer(string: "p"))
        connection.unblock()
        #expect(try connection.takeOutput() == [.ping([0x70]), .text("c"), .text("d"), .text("e")])
    }

    @Test func closePolicy() throws {
        let connection = try Self.limited(.close(.policyViolation, reason: "slow"))
        #expect("abcd".map { connection.handler.send(Self.message(String($0))) } == [.sent, .sent, .sent, .closing])
        #expect(!connection.handler.isOpen)
        connection.turn()
        #expect(connection.handler.waitingBytes == 8, "the Close frame is with the channel, nothing else waits")
        connection.advance(.seconds(5))
        #expect(connection.isClosed)
        #expect(connection.delegate.closes == [.init(code: .policyViolation, reason: "slow", wasClean: false)])
    }

    @Test func aSingleMessageIsAlwaysTaken() throws {
        let connection = try Self.limited(.dropNewest)
        #expect(connection.handler.send(Self.message("longer than the limit")) == .sent)
        #expect(connection.handler.send(Self.message("x")) == .dropped)
    }

    @Test func bytesInTheChannelCount() throws {
        let connection = try TestConnection.added {
            $0.outbound = .init(maximumWaitingBytes: 9, policy: .dropNewest)
        }
        connection.socket.isStuck = true
        for text in ["a", "b", "c"] { _ = connection.handler.send(Self.message(text)) }
        connection.turn()
        #expect(connection.handler.waitingBytes == 9)
        #expect(connection.handler.send(Self.message("d")) == .dropped)
        connection.unblock()
        #expect(connection.handler.send(Self.message("e")) == .sent)
        connection.turn()
        #expect(try connection.takeOutput() == [.text("a"), .text("b"), .text("c"), .text("e")])
    }

    @Test func pingsAreAnsweredInOrderAndBeforeMessages() throws {
        let connection = try TestConnection.added()
        connection.delegate.onMessage = { handler, message in
            _ = handler.send(EncodedMessage(text: message.payload))
        }
        let pings = (0..<10).flatMap { connection.frame(0x9, [$0]) }
        try connection.receive(FrameBytes.text("m") + pings)
        #expect(try connection.takeOutput() == (0..<10).map { .pong([$0]) } + [.text("m")])
        #expect(connection.socket.writes.count == 2)
    }

    @Test func aFloodOfPingsKeepsOnlyTheNewestWhenBlocked() throws {
        let connection = try TestConnection.added()
        connection.block()
        for number in 0..<3_000 {
            try connection.receive(connection.frame(0x9, Array("\(number)".utf8)))
        }
        #expect(connection.socket.writes.isEmpty)
        #expect(connection.handler.waitingBytes == 0)
        connection.unblock()
        #expect(try connection.takeOutput() == [.pong(Array("2999".utf8))])
    }

    @Test func aFloodOfPingsInOneReadIsBounded() throws {
        let connection = try TestConnection.added()
        let payload = [UInt8](repeating: 1, count: 125)
        try connection.receive((0..<500).flatMap { _ in connection.frame(0x9, payload) })
        #expect(connection.socket.writes.allSatisfy { $0.readableBytes < 8_192 })
        #expect(try connection.takeOutput() == Array(repeating: .pong(payload), count: 500))
    }

    @Test func ownPingIsCutTo125Bytes() throws {
        let connection = try TestConnection.added(role: .client)
        connection.handler.ping(ByteBuffer(bytes: [UInt8](repeating: 7, count: 200)))
        connection.turn()
        #expect(try connection.takeOutput() == [.ping(.init(repeating: 7, count: 125))])
        try connection.receive(connection.frame(0xA, Array("pong".utf8)))
        #expect(connection.delegate.pongs == ["pong"])
    }

    @Test func pausedReadingHoldsReadsBack() throws {
        let connection = try TestConnection.added()
        let before = connection.socket.readCount
        connection.handler.pauseReading()
        connection.handler.pauseReading()
        connection.channel.read()
        connection.channel.read()
        #expect(connection.socket.readCount == before)
        connection.handler.resumeReading()
        connection.handler.resumeReading()
        #expect(connection.socket.readCount == before + 1)
        connection.handler.pauseReading()
        connection.channel.read()
        connection.handler.close(code: .normalClosure)
        #expect(connection.socket.readCount == before + 2, "closing must read the peer's Close frame")
    }
}
