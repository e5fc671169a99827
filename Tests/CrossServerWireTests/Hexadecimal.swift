import NIOCore

extension ByteBuffer {
    /// Bytes from hexadecimal digits; blanks are ignored.
    init(hex: String) {
        self.init()
        let digits = hex.compactMap(\.hexDigitValue)
        for index in stride(from: 0, to: digits.count - 1, by: 2) {
            self.writeInteger(UInt8(digits[index] << 4 | digits[index + 1]))
        }
    }

    var hex: String {
        self.readableBytesView.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
