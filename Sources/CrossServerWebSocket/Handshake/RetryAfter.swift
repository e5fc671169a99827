import HTTPTypes

/// Reads when a refused client may come again (RFC 9110, section 10.2.3).
enum RetryAfter {
    /// - Returns: nil without the field, and for a value that makes no sense. A date is taken against that of the answer,
    ///   so that the clocks of the two need not agree.
    static func parse(_ headers: HTTPFields) -> Duration? {
        guard let value = headers[.retryAfter] else { return nil }
        if !value.isEmpty, value.utf8.allSatisfy({ 0x30...0x39 ~= $0 }) {
            // More digits than a number can have are a very long time.
            return .seconds(Int(value.suffix(9)).map { value.utf8.count > 9 ? 999_999_999 : $0 } ?? 0)
        }
        guard let until = Self.seconds(ofDate: value), let now = headers[.date].flatMap(Self.seconds(ofDate:)) else {
            return nil
        }
        return .seconds(max(until - now, 0))
    }

    /// The seconds since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT`, the form that servers send (RFC 9110, section 5.6.7).
    private static func seconds(ofDate text: String) -> Int? {
        let parts = text.split(separator: " ")
        guard parts.count == 6, parts[5] == "GMT", let month = Self.months.firstIndex(of: parts[2]),
            let day = Int(parts[1]), 1...31 ~= day, let year = Int(parts[3]), 1970...9_999 ~= year
        else { return nil }
        let clock = parts[4].split(separator: ":").compactMap { Int($0) }
        guard clock.count == 3, 0...23 ~= clock[0], 0...59 ~= clock[1], 0...60 ~= clock[2] else { return nil }
        // A year of the calendar that begins in March ends with the leap day.
        let marchYear = month < 2 ? year - 1 : year
        let dayOfYear = ((month + 10) % 12 * 153 + 2) / 5 + day - 1
        let days = marchYear * 365 + marchYear / 4 - marchYear / 100 + marchYear / 400 + dayOfYear - 719_468
        return days * 86_400 + clock[0] * 3_600 + clock[1] * 60 + clock[2]
    }

    private static let months: [Substring] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]
}
