import HTTPTypes
import NIOCore

enum HTTPHeadError: Error, Equatable {
    /// More bytes or fields than allowed.
    case tooLarge
    case malformed(String)
}

/// The first line and the fields of an HTTP/1.1 message.
struct HTTPHead {
    var firstLine: String
    var fields: HTTPFields
}

/// Reads one HTTP/1.1 head, strictly: lines end with CRLF, fields are not folded (RFC 9112, sections 2.2 and 5.2). A wrong
/// byte is refused as soon as it is read.
struct HTTPHeadParser {
    static let maximumFields = 100

    private let maximumSize: Int
    private var buffer = ByteBuffer()
    /// Bytes that are known to be well-formed, and where their last line starts.
    private var scanned = 0
    private var lineStart = 0

    init(maximumSize: Int) {
        self.maximumSize = maximumSize
    }

    /// - Returns: the head, and what came after it. Nil when more bytes are needed.
    mutating func parse(_ bytes: ByteBuffer) throws(HTTPHeadError) -> (head: HTTPHead, rest: ByteBuffer)? {
        self.buffer.writeImmutableBuffer(bytes)
        guard let size = try self.findEnd() else {
            if self.buffer.readableBytes > self.maximumSize { throw .tooLarge }
            return nil
        }
        if size > self.maximumSize { throw .tooLarge }
        let head = try self.buffer.withUnsafeReadableBytes { (bytes) throws(HTTPHeadError) in
            try Self.parseLines(.init(rebasing: bytes[..<size]))
        }
        self.buffer.moveReaderIndex(forwardBy: size)
        return (head, self.buffer)
    }

    /// - Returns: the size of the head with the empty line that ends it.
    private mutating func findEnd() throws(HTTPHeadError) -> Int? {
        let start = self.scanned
        var lineStart = self.lineStart
        let limit = self.maximumSize
        let (end, scanned) = try self.buffer.withUnsafeReadableBytes {
            (bytes) throws(HTTPHeadError) -> (Int?, Int) in
            var index = start
            while index < min(bytes.count, limit) {
                let byte = bytes[index]
                let followsReturn = index > 0 && bytes[index - 1] == 0x0D
                if byte == 0x0A {
                    guard followsReturn else { throw .malformed("line ends without a carriage return") }
                    if index - lineStart == 1 {
                        if lineStart == 0 { throw .malformed("empty first line") }
                        return (index + 1, index + 1)
                    }
                    lineStart = index + 1
                } else if followsReturn {
                    throw .malformed("carriage return within a line")
                } else if byte < 0x20 && byte != 0x0D && byte != 0x09 || byte == 0x7F {
                    throw .malformed("control character")
                }
                index += 1
            }
            return (nil, index)
        }
        self.scanned = scanned
        self.lineStart = lineStart
        return end
    }

    private static func parseLines(_ bytes: UnsafeRawBufferPointer) throws(HTTPHeadError) -> HTTPHead {
        var head = HTTPHead(firstLine: "", fields: [:])
        var start = 0
        while start < bytes.count - 2 {
            var end = start
            while bytes[end] != 0x0D { end += 1 }
            let line = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
            if start == 0 {
                head.firstLine = String(decoding: line, as: UTF8.self)
            } else {
                if head.fields.count == Self.maximumFields { throw .tooLarge }
                head.fields.append(try Self.parseField(line))
            }
            start = end + 2
        }
        return head
    }

    private static func parseField(_ line: UnsafeRawBufferPointer) throws(HTTPHeadError) -> HTTPField {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), HTTPTokens.isToken(line[..<colon]),
            let name = HTTPField.Name(String(decoding: line[..<colon], as: UTF8.self))
        else { throw .malformed("invalid header field name") }
        var value = line[(colon + 1)...]
        while let first = value.first, first == 0x20 || first == 0x09 { value.removeFirst() }
        while let last = value.last, last == 0x20 || last == 0x09 { value.removeLast() }
        return HTTPField(name: name, value: value)
    }
}

extension HTTPHead {
    struct RequestLine {
        var method: String
        var target: String
        /// The x of HTTP/1.x.
        var minorVersion: Int
    }

    func requestLine() throws(HTTPHeadError) -> RequestLine {
        let parts = self.firstLine.utf8.split(separator: 0x20, omittingEmptySubsequences: false)
        guard parts.count == 3, HTTPTokens.isToken(parts[0]), !parts[1].isEmpty,
            // A path or a whole URL (RFC 9112, section 3.2).
            parts[1].first == UInt8(ascii: "/") || Substring(parts[1]).contains("://"),
            parts[1].allSatisfy({ $0 > 0x20 && $0 < 0x7F }), let minorVersion = Self.minorVersion(parts[2])
        else { throw .malformed("invalid request line") }
        return .init(
            method: String(Substring(parts[0])),
            target: String(Substring(parts[1])),
            minorVersion: minorVersion
        )
    }

    func statusLine() throws(HTTPHeadError) -> (status: Int, reasonPhrase: String) {
        let parts = self.firstLine.utf8.split(separator: 0x20, maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count >= 2, Self.minorVersion(parts[0]) != nil, parts[1].count == 3,
            let status = Int(Substring(parts[1])), (100...599).contains(status)
        else { throw .malformed("invalid status line") }
        return (status, parts.count == 3 ? String(Substring(parts[2])) : "")
    }

    private static func minorVersion(_ version: Substring.UTF8View) -> Int? {
        let text = Substring(version)
        if text == "HTTP/1.1" { return 1 }
        return text == "HTTP/1.0" ? 0 : nil
    }
}
