import Synchronization

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// Makes the callback ids of one connector: `~<milliseconds since 1970>-<4 random digits>-<counter>`, all in base 36.
///
/// The tilde tells a server that the client understands failures: the ids of the Node.js library's client, which does
/// not, have none.
struct CallbackIDs: ~Copyable, Sendable {
    private let counter = Atomic<UInt64>(0)

    func next() -> String {
        Self.id(
            milliseconds: UInt64(max(Date().timeIntervalSince1970, 0) * 1_000),
            random: UInt32.random(in: 0..<Self.randomRange),
            counter: self.counter.wrappingAdd(1, ordering: .relaxed).newValue
        )
    }

    static let randomRange: UInt32 = 36 * 36 * 36 * 36

    static func id(milliseconds: UInt64, random: UInt32, counter: UInt64) -> String {
        let digits = String(random, radix: 36)
        let padding = String(repeating: "0", count: max(4 - digits.utf8.count, 0))
        return "~\(String(milliseconds, radix: 36))-\(padding)\(digits)-\(String(counter, radix: 36))"
    }
}
