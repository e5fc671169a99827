import Benchmark
import CrossServerWebSocket
import NIOCore

func webSocketBenchmarks() {
    Benchmark("decode 64 frames of one read", configuration: .thousand) { benchmark in
        let connection = try EmbeddedConnection()
        var bytes = ByteBuffer()
        for _ in 0..<64 { bytes.writeImmutableBuffer(ClientFrame.text(String(repeating: "a", count: 40))) }
        benchmark.measure { connection.receive(bytes) }
        blackHole(connection.delegate.messageCount)
    }

    Benchmark("unmask 64 KiB", configuration: .thousand) { benchmark in
        let connection = try EmbeddedConnection()
        let bytes = ClientFrame.bytes(text: false, repeatElement(UInt8(0xAA), count: 65_535))
        benchmark.measure { connection.receive(bytes) }
    }

    // The difference to the benchmark before is the check.
    Benchmark("unmask and check 64 KiB of UTF-8", configuration: .thousand) { benchmark in
        let connection = try EmbeddedConnection()
        let bytes = ClientFrame.text(String(repeating: "Grüße, 日本! ", count: 3_449))
        benchmark.measure { connection.receive(bytes) }
    }

    Benchmark("echo", configuration: .thousand) { benchmark in
        let connection = try EmbeddedConnection()
        connection.delegate.onMessage = { handler, message in
            _ = handler.send(EncodedMessage(text: message.payload))
        }
        let bytes = ClientFrame.text(#"{"event":"say","payload":{"msg":"hello"}}"#)
        benchmark.measure { connection.receive(bytes) }
        blackHole(connection.sink.byteCount)
    }

    Benchmark("deflate and inflate 1 KiB", configuration: .thousand) { benchmark in
        let server = try EmbeddedConnection(deflate: NegotiatedDeflate())
        let client = try EmbeddedConnection(role: .client, deflate: NegotiatedDeflate())
        client.sink.onWrite = { server.receive($0) }
        let text = (0..<32).map { #"{"id":\#(1_000 + $0 * 7),"name":"player \#($0)"}"# }.joined(separator: ",")
        let message = EncodedMessage(text: String(text.prefix(1_024)))
        benchmark.measure {
            _ = client.handler.send(message)
            client.turn()
        }
        blackHole(server.delegate.messageCount)
    }
}
