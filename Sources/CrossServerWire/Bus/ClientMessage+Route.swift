// A route is an array of numbers: its kind and what belongs to it.
extension ClientMessage.Route {
    static let maximumCount = 3

    /// - Returns: nil for numbers that are no route.
    init?(numbers: borrowing RouteNumbers) {
        switch (numbers.count, numbers.kind) {
        case (2, 0): self = .ask(numbers.first)
        case (3, 1): self = .inbox(epoch: numbers.first, number: numbers.second)
        case (3, 2): self = .delivered(ask: numbers.first, connectedFor: numbers.second)
        case (3, 3): self = .refused(epoch: numbers.first, number: numbers.second)
        case (2, 4) where numbers.first == 0: self = .removingRoom
        default: return nil
        }
    }

    var numbers: RouteNumbers {
        switch self {
        case .ask(let ask): RouteNumbers(count: 2, kind: 0, first: ask, second: 0)
        case .inbox(let epoch, let number): RouteNumbers(count: 3, kind: 1, first: epoch, second: number)
        case .delivered(let ask, let time): RouteNumbers(count: 3, kind: 2, first: ask, second: time)
        case .refused(let epoch, let number): RouteNumbers(count: 3, kind: 3, first: epoch, second: number)
        case .removingRoom: RouteNumbers(count: 2, kind: 4, first: 0, second: 0)
        }
    }
}

/// The numbers of a route, without an array.
struct RouteNumbers {
    private(set) var count = 0
    private(set) var kind: UInt64 = 0
    private(set) var first: UInt64 = 0
    private(set) var second: UInt64 = 0

    init() {}

    init(count: Int, kind: UInt64, first: UInt64, second: UInt64) {
        self.count = count
        self.kind = kind
        self.first = first
        self.second = second
    }

    /// - Returns: false for a number that cannot be part of a route.
    mutating func append(_ number: UInt64?) -> Bool {
        guard let number, number <= ClientMessage.Route.maximumNumber else { return false }
        switch self.count {
        case 0: self.kind = number
        case 1: self.first = number
        case 2: self.second = number
        default: return false
        }
        self.count += 1
        return true
    }
}

extension OutputBytes {
    mutating func writeMessagePack(_ route: ClientMessage.Route) {
        let numbers = route.numbers
        self.writeMessagePackArrayHead(numbers.count)
        self.writeMessagePack(numbers.kind)
        self.writeMessagePack(numbers.first)
        if numbers.count > 2 { self.writeMessagePack(numbers.second) }
    }

    mutating func writeJSON(_ route: ClientMessage.Route) {
        let numbers = route.numbers
        let tail = numbers.count > 2 ? ",\(numbers.second)]" : "]"
        var text = "[\(numbers.kind),\(numbers.first)\(tail)"
        text.withUTF8 { self.write(UnsafeRawBufferPointer($0)) }
    }
}

extension MessagePackReader {
    /// - Returns: nil when the value is no route; then the reader may be anywhere in it.
    mutating func readRoute() throws(MessagePackError) -> ClientMessage.Route? {
        guard case .array(let count) = try self.next(), count <= ClientMessage.Route.maximumCount else { return nil }
        var numbers = RouteNumbers()
        for _ in 0..<count {
            guard case .integer(let number) = try self.next(), numbers.append(UInt64(exactly: number)) else {
                return nil
            }
        }
        return ClientMessage.Route(numbers: numbers)
    }
}

extension JSONScanner {
    /// - Returns: nil when the value is no route; it was passed over.
    mutating func readRoute() throws(JSONError) -> ClientMessage.Route? {
        guard self.peek() == UInt8(ascii: "[") else {
            _ = try self.skipValue(depth: 1)
            return nil
        }
        var numbers = RouteNumbers()
        var isRoute = true
        try self.scanArray(depth: 1) { (scanner) throws(JSONError) in
            let range = try scanner.skipValue(depth: 2)
            isRoute = isRoute && numbers.append(scanner.unsigned(range))
        }
        return isRoute ? ClientMessage.Route(numbers: numbers) : nil
    }

    /// - Returns: nil when the value is no whole number of at most 17 digits.
    private func unsigned(_ range: Range<Int>) -> UInt64? {
        guard range.count <= 17 else { return nil }
        var number: UInt64 = 0
        for index in range {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self.bytes[index]) else { return nil }
            number = number * 10 + UInt64(self.bytes[index] - UInt8(ascii: "0"))
        }
        return number
    }
}
