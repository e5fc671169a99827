import CrossServerWire
import Foundation

/// Joins a room of the namespace ``chatNamespace``.
public struct JoinRoom: Event {
    public static let name = "joinRoom"
    public var roomId: String

    public init(roomId: String) {
        self.roomId = roomId
    }

    public struct Reply: Codable, Sendable {
        public var msg: String

        public init(msg: String) {
            self.msg = msg
        }
    }
}

public let chatNamespace = "chat"

/// Asks a server to say something to clients, wherever they are.
public struct Command: Event {
    public static let name = "command"
    public var action: Action
    public var msg: String
    /// For ``Action/toPlayer``.
    public var toPlayerId: String?
    /// For ``Action/toPlayers``.
    public var toPlayerIds: [String]?
    /// For ``Action/toRoom``.
    public var roomId: String?

    public enum Action: String, Codable, Sendable {
        case broadcast, toPlayer, toPlayers, toRoom
    }

    public init(
        _ action: Action,
        msg: String,
        toPlayerId: String? = nil,
        toPlayerIds: [String]? = nil,
        roomId: String? = nil
    ) {
        self.action = action
        self.msg = msg
        self.toPlayerId = toPlayerId
        self.toPlayerIds = toPlayerIds
        self.roomId = roomId
    }

    public struct Reply: Codable, Sendable {
        public var msg: String

        public init(msg: String) {
            self.msg = msg
        }
    }
}

/// What a client hears.
public struct Say: Event {
    public static let name = "say"
    public var action: Command.Action
    public var msg: String

    public init(action: Command.Action, msg: String) {
        self.action = action
        self.msg = msg
    }
}

/// Asks a server where clients can connect to it.
public struct WhereAreYou: Event {
    public static let name = "whereAreYou"

    public init() {}

    public struct Reply: Codable, Sendable {
        public var url: String

        public init(url: String) {
            self.url = url
        }
    }
}

/// Prints a line at once, also into a file or a pipe.
public func say(_ line: String) {
    print(line)
    fflush(nil)
}
