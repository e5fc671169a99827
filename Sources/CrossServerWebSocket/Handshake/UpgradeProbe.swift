import HTTPTypes
package import NIOCore

/// Looks whether the first request of a connection asks for a WebSocket, so that a port can be shared with HTTP.
package struct UpgradeProbe {
    package enum Finding {
        case needsMore
        case webSocket(UpgradeRequest)
        /// Another request, or nothing that this probe can read: for the HTTP server to answer.
        case other
    }

    /// All that was read.
    package private(set) var bytes = ByteBuffer()
    private var parser: HTTPHeadParser

    /// - Parameter maximumHeadSize: in bytes; a longer head is not for a WebSocket.
    package init(maximumHeadSize: Int) {
        self.parser = HTTPHeadParser(maximumSize: maximumHeadSize)
    }

    package mutating func read(_ bytes: ByteBuffer, from remoteAddress: SocketAddress?) -> Finding {
        self.bytes.writeImmutableBuffer(bytes)
        do throws(HTTPHeadError) {
            guard let head = try self.parser.parse(bytes)?.head else { return .needsMore }
            let line = try head.requestLine()
            guard ServerHandshake.list(head.fields[values: .upgrade], contains: "websocket") else { return .other }
            return .webSocket(
                UpgradeRequest(
                    method: line.method,
                    target: line.target,
                    headers: head.fields,
                    remoteAddress: remoteAddress
                )
            )
        } catch {
            return .other
        }
    }
}
