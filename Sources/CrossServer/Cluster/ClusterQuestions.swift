import CrossServerWire

/// What our servers ask each other, apart from the application's events. The original does not hear it.
enum ClusterQuestion {
    /// Is a client with the id connected to you?
    struct Locate: Event {
        static let name = "locate"
        var id: String

        struct Reply: Codable, Sendable {
            /// For how long, in milliseconds; nil when there is none.
            var age: Int?
        }
    }

    /// Close the connection of the client with the id.
    struct Disconnect: Event {
        static let name = "disconnect"
        var id: String
        var code: UInt16
        var reason: String

        struct Reply: Codable, Sendable {
            var count: Int
        }
    }

    /// Which clients, of all or of rooms.
    struct Selection: Codable, Sendable {
        var namespace: String?
        var room: String?
        var isPrefix = false
    }

    struct Count: Event {
        static let name = "count"
        var selection: Selection

        struct Reply: Codable, Sendable {
            var count: Int
        }
    }

    struct Ids: Event {
        static let name = "ids"
        var selection: Selection

        struct Reply: Codable, Sendable {
            var ids: Set<String>
        }
    }

    /// May a client log in with the id, of which there shall be one?
    struct Reserve: Event {
        static let name = "reserve"
        var id: String

        struct Reply: Codable, Sendable {
            var isTaken: Bool
        }
    }

    /// It is decided whether a client that asked for the id has it. Nobody answers.
    struct Release: Event {
        static let name = "release"
        var id: String
    }

    /// A client has logged in with the id, of which there shall be one. Nobody answers.
    struct Claim: Event {
        static let name = "claim"
        var id: String
        var number: UInt64
    }

    /// What has become of your messages to others, and of theirs to you?
    struct Ledger: Event {
        static let name = "ledger"
        typealias Reply = DeliveryLedger
    }

    /// Remove a room. Nobody answers.
    struct RemoveRoom: Event {
        static let name = "removeRoom"
        var namespace: String
        var room: String
    }

    /// Those that servers need not answer to which no client can be connected.
    static let ofClients: Set<String> = [
        Locate.name, Disconnect.name, Count.name, Ids.name, Reserve.name, WatchRoom.name,
    ]

    /// Ask the client with the id an event with a payload, and pass on its reply. The client's payload may be anything:
    /// it is not decoded on the way.
    static let askClient = "askClient"
    /// Begins the code of a failure that is not the client's.
    static let serverCode = "csbp:"
}
