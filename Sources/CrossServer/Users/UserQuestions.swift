import CrossServerWire

extension ClusterQuestion {
    /// Is a client with the id connected to you?
    struct Locate: ServerQuestion {
        static let name = "locate"
        var id: String

        struct Reply: Codable, Sendable {
            /// For how long, in milliseconds; nil when there is none.
            var age: Int?
        }
    }

    /// Close the connection of the client with the id.
    struct Disconnect: ServerQuestion {
        static let name = "disconnect"
        var id: String
        var code: UInt16
        var reason: String

        struct Reply: Codable, Sendable {
            var count: Int
        }
    }

    /// May a client log in with the id, of which there shall be one?
    struct Reserve: ServerQuestion {
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

    /// Ask the client with the id an event with a payload, and pass on its reply. The client's payload may be anything:
    /// it is not decoded on the way.
    static let askClient = "askClient"
    /// Begins the code of a failure that is not the client's.
    static let serverCode = "csbp:"
}
