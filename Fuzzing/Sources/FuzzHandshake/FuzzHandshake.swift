import FuzzSupport
import HTTPTypes
import NIOCore

@testable import CrossServerWebSocket

/// A head means the same however it is cut, and an answer to it never holds more lines than we wrote.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    var input = FuzzInput(start, count)
    let flags = input.byte()
    let seed = input.byte()
    let bytes = Array(input.rest)
    let maximumSize = flags & 1 == 0 ? 4_096 : 100
    let whole = parse([bytes], maximumSize: maximumSize)
    for pieces in [bytes.singles, bytes.pieces(seed: seed)] {
        require(parse(pieces, maximumSize: maximumSize) == whole, "cut differently, the head is another")
    }
    guard case .head(let firstLine, let fields, _) = whole else { return 0 }
    require(fields.count <= 100, "number of fields")
    let head = HTTPHead(firstLine: firstLine, fields: fields)
    if let line = try? head.requestLine() {
        serve(UpgradeRequest(method: line.method, target: line.target, headers: fields))
    }
    if let line = try? head.statusLine() {
        answer(UpgradeResponse(status: line.status, reasonPhrase: line.reasonPhrase, headers: fields))
    }
    return 0
}

private enum Parsed: Equatable {
    case head(String, HTTPFields, rest: Int)
    case incomplete
    case refused
}

private func parse(_ pieces: [[UInt8]], maximumSize: Int) -> Parsed {
    var parser = HTTPHeadParser(maximumSize: maximumSize)
    var taken = 0
    for piece in pieces {
        taken += piece.count
        do throws(HTTPHeadError) {
            if let (head, rest) = try parser.parse(ByteBuffer(bytes: piece)) {
                let total = pieces.reduce(0) { $0 + $1.count }
                require(taken - rest.readableBytes <= maximumSize, "size of a head")
                return .head(head.firstLine, head.fields, rest: total - taken + rest.readableBytes)
            }
        } catch {
            return .refused
        }
    }
    return .incomplete
}

private func serve(_ request: UpgradeRequest) {
    _ = request.path
    require(request.subprotocols.allSatisfy { !$0.isEmpty }, "empty subprotocol")
    var deflate = PerMessageDeflate()
    deflate.serverMaximumWindowBits = 12
    do throws(UpgradeRejection) {
        let acceptance = try ServerHandshake.accept(
            request,
            subprotocol: request.subprotocols.last,
            deflate: deflate
        )
        if let deflate = acceptance.deflate {
            require((9...12).contains(deflate.serverWindowBits), "our window")
            require((8...15).contains(deflate.clientWindowBits), "the client's window")
        }
        require(request.subprotocols.last == acceptance.subprotocol, "subprotocol")
        var response = ByteBuffer(string: "HTTP/1.1 101 Switching Protocols\r\n")
        response.writeHTTPFields(acceptance.headers)
        let parsed = parse([Array(response.readableBytesView)], maximumSize: 100_000)
        require(
            parsed == .head("HTTP/1.1 101 Switching Protocols", acceptance.headers, rest: 0),
            "the answer reads as something else: \(parsed)"
        )
    } catch {
        let response = Array(error.response(to: nil).readableBytesView)
        guard case .head(_, _, let rest) = parse([response], maximumSize: 100_000) else {
            fatalError("the rejection is no head")
        }
        require(rest == error.body.utf8.count, "body of the rejection")
    }
}

/// Only an answer with the accept key of this very handshake is taken.
private func answer(_ response: UpgradeResponse) {
    let handshake = ClientHandshake(host: "a", target: "/", subprotocols: ["a", "b"], deflate: .init())
    require((try? handshake.validate(response)) == nil, "an answer that does not know the key")
    var response = response
    response.headers[.secWebSocketAccept] = HandshakeKey.accept(for: handshake.key)
    // Any of the errors is fine here; what is accepted must have been offered.
    guard let (subprotocol, deflate) = try? handshake.validate(response) else { return }
    require(subprotocol.map { ["a", "b"].contains($0) } ?? true, "subprotocol")
    if let deflate {
        require((8...15).contains(deflate.serverWindowBits), "the server's window")
        require((8...15).contains(deflate.clientWindowBits), "our window")
    }
}
