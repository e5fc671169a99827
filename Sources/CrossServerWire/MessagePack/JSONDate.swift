/// A date as the milliseconds since 1970 that JavaScript counts.
struct JSONDate: Equatable {
    /// nil outside of what JavaScript's dates cover, 100,000,000 days on either side of 1970.
    let milliseconds: Int64?

    init(milliseconds: Int64) {
        self.milliseconds = milliseconds.magnitude <= 8_640_000_000_000_000 ? milliseconds : nil
    }

    /// Cuts off what is finer than a millisecond, towards 1970, as JavaScript does.
    init(_ timestamp: MessagePackTimestamp) {
        let (scaled, overflow) = timestamp.seconds.multipliedReportingOverflow(by: 1000)
        let (floor, carry) = scaled.addingReportingOverflow(Int64(timestamp.nanoseconds / 1_000_000))
        guard !overflow, !carry else {
            self.init(milliseconds: .max)
            return
        }
        self.init(milliseconds: floor < 0 && timestamp.nanoseconds % 1_000_000 > 0 ? floor + 1 : floor)
    }
}

extension OutputBytes {
    /// Writes what `Date.toJSON` gives: `"2024-02-29T12:00:00.000Z"`, or `null` for a date that JavaScript has not.
    mutating func writeJSON(_ date: JSONDate) {
        guard let milliseconds = date.milliseconds else {
            self.write("null")
            return
        }
        let (day, time) = milliseconds.flooredQuotient(by: 86_400_000)
        let (year, month, dayOfMonth) = Self.civil(day)
        self.write(UInt8(ascii: "\""))
        if 0...9999 ~= year {
            self.writeDigits(year, count: 4)
        } else {
            self.write(year < 0 ? UInt8(ascii: "-") : UInt8(ascii: "+"))
            self.writeDigits(abs(year), count: 6)
        }
        self.write(UInt8(ascii: "-"))
        self.writeDigits(month, count: 2)
        self.write(UInt8(ascii: "-"))
        self.writeDigits(dayOfMonth, count: 2)
        self.write(UInt8(ascii: "T"))
        self.writeDigits(time / 3_600_000, count: 2)
        self.write(UInt8(ascii: ":"))
        self.writeDigits(time / 60_000 % 60, count: 2)
        self.write(UInt8(ascii: ":"))
        self.writeDigits(time / 1000 % 60, count: 2)
        self.write(UInt8(ascii: "."))
        self.writeDigits(time % 1000, count: 3)
        self.write("Z\"")
    }

    private mutating func writeDigits(_ value: Int64, count: Int) {
        var divisor: Int64 = 1
        for _ in 1..<count { divisor *= 10 }
        while divisor > 0 {
            self.write(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value / divisor % 10))
            divisor /= 10
        }
    }

    /// The date in the Gregorian calendar of a day counted from 1970-01-01, reckoned in years that begin in March.
    private static func civil(_ day: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let (era, dayOfEra) = (day + 719_468).flooredQuotient(by: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let month = (5 * dayOfYear + 2) / 153
        let isNextYear = month >= 10
        return (
            era * 400 + yearOfEra + (isNextYear ? 1 : 0),
            isNextYear ? month - 9 : month + 3,
            dayOfYear - (153 * month + 2) / 5 + 1
        )
    }
}

extension Int64 {
    /// The quotient rounded down, and the rest, which is never negative.
    fileprivate func flooredQuotient(by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = self.quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}
