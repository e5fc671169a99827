import CrossServerWire

extension ClusterQuestion {
    /// Which clients, of all or of rooms.
    struct Selection: Codable, Sendable {
        var namespace: String?
        var room: String?
        var isPrefix = false
    }

    struct Count: ServerQuestion {
        static let name = "count"
        var selection: Selection

        struct Reply: Codable, Sendable {
            var count: Int
        }
    }

    struct Ids: ServerQuestion {
        static let name = "ids"
        var selection: Selection

        struct Reply: Codable, Sendable {
            var ids: Set<String>
        }
    }

    /// Remove a room. Nobody answers.
    struct RemoveRoom: Event {
        static let name = "removeRoom"
        var namespace: String
        var room: String
    }
}
