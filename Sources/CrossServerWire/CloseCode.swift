/// Why a WebSocket connection was closed: the status code of RFC 6455, section 7.4, or one of this system's own.
///
/// 4001 to 4009 belong to the libraries, 4010 and up to the application. 4010, 4011 and 4012 have the meaning that
/// existing clients give them.
public struct CloseCode: RawRepresentable, Hashable, Sendable, ExpressibleByIntegerLiteral, CustomStringConvertible {
    public let rawValue: UInt16

    public init(rawValue: UInt16) {
        self.rawValue = rawValue
    }

    public init(integerLiteral value: UInt16) {
        self.init(rawValue: value)
    }

    /// 1000: the purpose of the connection is fulfilled.
    public static let normalClosure: CloseCode = 1000
    /// 1001: the server stops, or the page was left.
    public static let goingAway: CloseCode = 1001
    /// 1002: the peer broke the protocol.
    public static let protocolError: CloseCode = 1002
    /// 1003: the peer sent a kind of data that is not accepted.
    public static let unsupportedData: CloseCode = 1003
    /// 1005: the peer's close frame had no code. Never sent.
    public static let noStatusReceived: CloseCode = 1005
    /// 1006: the connection ended without a close frame. Never sent.
    public static let abnormalClosure: CloseCode = 1006
    /// 1007: a text message was not valid UTF-8, or a compressed message did not inflate.
    public static let invalidPayload: CloseCode = 1007
    /// 1008: a limit or rule of the server was broken.
    public static let policyViolation: CloseCode = 1008
    /// 1009: a message was larger than accepted.
    public static let messageTooBig: CloseCode = 1009
    /// 1010: the client needs an extension that the server did not agree to.
    public static let mandatoryExtension: CloseCode = 1010
    /// 1011: the server met a condition that it cannot handle.
    public static let internalError: CloseCode = 1011
    /// 1012: the server restarts.
    public static let serviceRestart: CloseCode = 1012
    /// 1013: the server is overloaded; try again later.
    public static let tryAgainLater: CloseCode = 1013

    /// 4001: the client closed the connection by hand.
    public static let closedByHand: CloseCode = 4001
    /// 4002: the server did not answer the client's heartbeat in time.
    public static let pongTimeout: CloseCode = 4002
    /// 4003: the client was in the background for longer than the server allows.
    public static let backgroundTimeout: CloseCode = 4003
    /// 4010: the application logged the user out.
    public static let forcedLogout: CloseCode = 4010
    /// 4011: the application could not authenticate the user.
    public static let authenticationFailed: CloseCode = 4011
    /// 4012: the same user logged in on another connection.
    public static let replacedByAnotherLogin: CloseCode = 4012

    /// Whether a close frame may carry the code (RFC 6455, section 7.4.1 and 7.4.2, and the IANA registry).
    public var isAllowedOnTheWire: Bool {
        switch self.rawValue {
        case 1000...1003, 1007...1014, 3000...4999: true
        default: false
        }
    }

    /// Whether a client should come back: true unless it was closed by hand, logged out, refused or replaced.
    public var allowsReconnect: Bool {
        switch self {
        case .closedByHand, .forcedLogout, .authenticationFailed, .replacedByAnotherLogin: false
        default: true
        }
    }

    /// The reason that is sent with the code when the application gives none. Empty for codes without one.
    public var standardReason: String {
        switch self {
        case .closedByHand: "client manual close"
        case .pongTimeout: "pong timeout"
        case .backgroundTimeout: "background timeout"
        case .forcedLogout: "Forced logout"
        case .authenticationFailed: "Auth failure"
        case .replacedByAnotherLogin: "Replaced by another login"
        default: ""
        }
    }

    public var description: String {
        "\(self.rawValue)"
    }
}
