import Benchmark
import CrossServerWebSocket
import CrossServerWire
import NIOCore

func wireBenchmarks() {
    Benchmark("envelope scan", configuration: .thousand) { benchmark in
        let text = ByteBuffer(
            string: #"{"event":"say","payload":{"msg":"hello","to":["a","b"],"n":1.5},"callbackId":"k3f-17"}"#
        )
        try benchmark.measure { blackHole(try Envelope(scanning: text)) }
    }

    Benchmark("envelope write", configuration: .thousand) { benchmark in
        let payload: Payload = ["msg": "hello", "n": 1]
        let callbackId = CallbackID("k3f-17")
        var buffer = ByteBuffer()
        benchmark.measure {
            buffer.clear()
            buffer.writeEnvelope(event: "say", payload: payload, callbackId: callbackId)
        }
        blackHole(buffer)
    }

    Benchmark("frame encode", configuration: .thousand) { benchmark in
        let text = ByteBuffer(string: #"{"event":"say","payload":{"msg":"hello"}}"#)
        benchmark.measure { blackHole(EncodedMessage(text: text)) }
    }
}
