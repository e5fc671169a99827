package import NIOCore

/// What senders and receivers of numbered messages say to each other, on inboxes and on the cluster channel.
///
/// Binary, and begun by a byte that no MessagePack and no JSON begins with: so it is told from messages.
package struct DeliveryFrame: Sendable, Equatable {
    package enum Body: Sendable, Equatable {
        /// Send again what I miss on the channel, and say how far it is. The answer repeats the token.
        case request(channel: String, missing: [ClosedRange<UInt64>], token: UInt64)
        /// I do not know your messages on the channel. Send all since this uptime of yours. The answer repeats the token.
        case requestSince(channel: String, uptime: Int64, token: UInt64)
        /// Some of the messages that were asked for.
        case repetition(Repetition)
        /// Tell me how far the channels are on which you have sent since this uptime of yours.
        case requestHeads(since: Int64, token: UInt64)
        /// How far channels are.
        case heads(Heads)
        /// I miss nothing of what these heads tell.
        case acknowledge(token: UInt64)
    }

    package struct Repetition: Sendable, Equatable {
        package var channel: String
        /// Of the request: only who hears the sender's inbox can know it.
        package var token: UInt64
        /// The highest number that the sender has used on the channel.
        package var last: UInt64
        /// The numbers up to this are not used, but for those of a stream that is forgotten; 0 for none.
        package var floor: UInt64
        /// The first message that is owed, when the request did not know.
        package var base: UInt64?
        /// What was asked for up to this number is not kept any more; 0 for nothing.
        package var gone: UInt64
        /// Whether it is the last answer to the request.
        package var isLast: Bool
        package var messages: [ByteBuffer]
    }

    package struct Heads: Sendable, Equatable {
        /// Of the request; 0 when nobody asked.
        package var token: UInt64
        /// Whether the request is answered with this.
        package var isLast: Bool
        /// The sender is about to stop, and waits for ``Body/acknowledge(token:)``.
        package var isLeaving: Bool
        /// There were channels that the sender does not know any more.
        package var isIncomplete = false
        package var heads: [Head]
    }

    package struct Head: Sendable, Equatable {
        package var channel: String
        package var last: UInt64
        /// The sender's uptime when it sent that one.
        package var uptime: Int64
    }

    /// Of who says this.
    package var name: String
    package var incarnation: UInt64
    /// Of whom it is for; 0 for everyone.
    package var target: UInt64
    package var body: Body

    /// A byte that MessagePack never uses.
    static let mark: UInt8 = 0xc1
    static let version: UInt8 = 2
    static let maximumRanges = 64
    static let maximumHeads = 64

    package static func isFrame(_ message: ByteBuffer) -> Bool {
        message.getInteger(at: message.readerIndex, as: UInt8.self) == Self.mark
    }
}

extension DeliveryFrame {
    package var encoded: ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeMultipleIntegers(Self.mark, Self.version, self.kind)
        buffer.writeShort(self.name)
        buffer.writeMultipleIntegers(self.incarnation, self.target)
        switch self.body {
        case .request(let channel, let missing, let token):
            buffer.writeShort(channel)
            buffer.writeMultipleIntegers(token, UInt8(clamping: missing.count))
            for range in missing.prefix(Self.maximumRanges) {
                buffer.writeMultipleIntegers(range.lowerBound, range.upperBound)
            }
        case .requestSince(let channel, let uptime, let token):
            buffer.writeShort(channel)
            buffer.writeMultipleIntegers(token, uptime)
        case .repetition(let repetition):
            buffer.writeShort(repetition.channel)
            buffer.writeMultipleIntegers(repetition.token, repetition.last, repetition.floor)
            buffer.writeMultipleIntegers(
                repetition.base ?? 0,
                repetition.gone,
                UInt8(repetition.isLast ? 1 : 0),
                UInt32(clamping: repetition.messages.count)
            )
            for message in repetition.messages {
                buffer.writeInteger(UInt32(clamping: message.readableBytes))
                buffer.writeImmutableBuffer(message)
            }
        case .requestHeads(let since, let token):
            buffer.writeMultipleIntegers(since, token)
        case .heads(let heads):
            let flags = UInt8(heads.isLast ? 1 : 0) | UInt8(heads.isLeaving ? 2 : 0) | UInt8(heads.isIncomplete ? 4 : 0)
            buffer.writeMultipleIntegers(heads.token, flags, UInt8(clamping: heads.heads.count))
            for head in heads.heads {
                buffer.writeShort(head.channel)
                buffer.writeMultipleIntegers(head.last, head.uptime)
            }
        case .acknowledge(let token):
            buffer.writeInteger(token)
        }
        return buffer
    }

    private var kind: UInt8 {
        switch self.body {
        case .request: 1
        case .requestSince: 2
        case .repetition: 3
        case .requestHeads: 4
        case .heads: 5
        case .acknowledge: 6
        }
    }

    /// - Returns: nil for what is no frame, or passes the limits.
    package init?(_ message: ByteBuffer) {
        var buffer = message
        guard let (mark, version, kind) = buffer.readMultipleIntegers(as: (UInt8, UInt8, UInt8).self),
            mark == Self.mark, version == Self.version,
            let name = buffer.readShort(), name.utf8.count <= Announcement.Limits.nameLength,
            let (incarnation, target) = buffer.readMultipleIntegers(as: (UInt64, UInt64).self),
            let body = Self.body(kind, &buffer), buffer.readableBytes == 0
        else { return nil }
        self.name = name
        self.incarnation = incarnation
        self.target = target
        self.body = body
    }

    private static func body(_ kind: UInt8, _ buffer: inout ByteBuffer) -> Body? {
        switch kind {
        case 1:
            guard let channel = buffer.readShort(),
                let (token, count) = buffer.readMultipleIntegers(as: (UInt64, UInt8).self),
                count <= Self.maximumRanges
            else { return nil }
            var missing: [ClosedRange<UInt64>] = []
            for _ in 0..<count {
                guard let (first, last) = buffer.readMultipleIntegers(as: (UInt64, UInt64).self), first <= last,
                    first > 0, last <= Stamp.maximumNumber
                else { return nil }
                missing.append(first...last)
            }
            return .request(channel: channel, missing: missing, token: token)
        case 2:
            guard let channel = buffer.readShort(),
                let (token, uptime) = buffer.readMultipleIntegers(as: (UInt64, Int64).self)
            else { return nil }
            return .requestSince(channel: channel, uptime: uptime, token: token)
        case 3:
            return self.repetition(&buffer).map { .repetition($0) }
        case 4:
            guard let (since, token) = buffer.readMultipleIntegers(as: (Int64, UInt64).self) else { return nil }
            return .requestHeads(since: since, token: token)
        case 5:
            return self.heads(&buffer).map { .heads($0) }
        case 6:
            return buffer.readInteger(as: UInt64.self).map { .acknowledge(token: $0) }
        default:
            return nil
        }
    }

    private static func repetition(_ buffer: inout ByteBuffer) -> Repetition? {
        guard let channel = buffer.readShort(),
            let (token, last, floor) = buffer.readMultipleIntegers(as: (UInt64, UInt64, UInt64).self),
            last <= Stamp.maximumNumber, floor <= last,
            let (base, gone, isLast, count) = buffer.readMultipleIntegers(as: (UInt64, UInt64, UInt8, UInt32).self),
            base <= Stamp.maximumNumber + 1, gone <= Stamp.maximumNumber, Int(count) <= buffer.readableBytes / 4
        else { return nil }
        var messages: [ByteBuffer] = []
        for _ in 0..<count {
            guard let message = buffer.readLengthPrefixedSlice(as: UInt32.self) else { return nil }
            messages.append(message)
        }
        return Repetition(
            channel: channel,
            token: token,
            last: last,
            floor: floor,
            base: base == 0 ? nil : base,
            gone: gone,
            isLast: isLast == 1,
            messages: messages
        )
    }

    private static func heads(_ buffer: inout ByteBuffer) -> Heads? {
        guard let (token, flags, count) = buffer.readMultipleIntegers(as: (UInt64, UInt8, UInt8).self),
            count <= Self.maximumHeads
        else { return nil }
        var heads: [Head] = []
        for _ in 0..<count {
            guard let channel = buffer.readShort(),
                let (last, uptime) = buffer.readMultipleIntegers(as: (UInt64, Int64).self),
                last <= Stamp.maximumNumber, (0...Int64(1) << 40).contains(uptime)
            else { return nil }
            heads.append(Head(channel: channel, last: last, uptime: uptime))
        }
        return Heads(
            token: token,
            isLast: flags & 1 != 0,
            isLeaving: flags & 2 != 0,
            isIncomplete: flags & 4 != 0,
            heads: heads
        )
    }
}

extension ByteBuffer {
    /// At most 65,535 bytes; names of channels and servers are shorter.
    fileprivate mutating func writeShort(_ string: String) {
        let length = UInt16(clamping: string.utf8.count)
        self.writeInteger(length)
        self.writeBytes(string.utf8.prefix(Int(length)))
    }

    fileprivate mutating func readShort() -> String? {
        guard let length = self.readInteger(as: UInt16.self) else { return nil }
        return self.readString(length: Int(length))
    }
}

// For who forges frames, to see what comes of it.
extension DeliveryFrame {
    package init(name: String, incarnation: UInt64, to target: UInt64, _ body: Body) {
        self.init(name: name, incarnation: incarnation, target: target, body: body)
    }
}

extension DeliveryFrame.Heads {
    package init(of channel: String, last: UInt64, uptime: Int64, token: UInt64, isLeaving: Bool = false) {
        let head = DeliveryFrame.Head(channel: channel, last: last, uptime: uptime)
        self.init(token: token, isLast: true, isLeaving: isLeaving, heads: [head])
    }
}

extension DeliveryFrame.Repetition {
    package init(of channel: String, token: UInt64, last: UInt64, floor: UInt64, base: UInt64?, gone: UInt64) {
        self.init(
            channel: channel,
            token: token,
            last: last,
            floor: floor,
            base: base,
            gone: gone,
            isLast: true,
            messages: []
        )
    }
}
