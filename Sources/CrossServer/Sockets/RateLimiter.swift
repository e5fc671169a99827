import NIOCore

/// A token bucket for messages and one for bytes.
struct RateLimiter {
    private var messages: TokenBucket?
    private var bytes: TokenBucket?

    init(_ rate: Limits.Rate, now: NIODeadline) {
        self.messages = rate.messagesPerSecond.map { TokenBucket(rate: $0, burst: rate.burst, now: now) }
        self.bytes = rate.bytesPerSecond.map { TokenBucket(rate: $0, burst: rate.burst, now: now) }
    }

    /// Whether a message of the size is within the rates. One that is not takes nothing from them.
    mutating func allows(bytes size: Int, now: NIODeadline) -> Bool {
        guard self.messages?.has(1, now: now) != false, self.bytes?.has(Double(size), now: now) != false else {
            return false
        }
        self.messages?.take(1)
        self.bytes?.take(Double(size))
        return true
    }
}

/// Fills at a constant rate up to its capacity.
private struct TokenBucket {
    private let rate: Double
    private let capacity: Double
    private var tokens: Double
    private var filled: NIODeadline

    init(rate: Double, burst: Double, now: NIODeadline) {
        self.rate = rate
        self.capacity = max(rate * burst, 1)
        self.tokens = self.capacity
        self.filled = now
    }

    /// Whether there are so many tokens. One message that is larger than a full bucket passes when it is full.
    mutating func has(_ amount: Double, now: NIODeadline) -> Bool {
        let elapsed = Double((now - self.filled).nanoseconds) / 1_000_000_000
        self.tokens = min(self.capacity, self.tokens + elapsed * self.rate)
        self.filled = now
        return self.tokens >= min(amount, self.capacity)
    }

    mutating func take(_ amount: Double) {
        self.tokens -= amount
    }
}
