extension UInt8 {
    static let carriageReturn = UInt8(ascii: "\r")
    static let lineFeed = UInt8(ascii: "\n")
    static let plus = UInt8(ascii: "+")
    static let minus = UInt8(ascii: "-")
}
