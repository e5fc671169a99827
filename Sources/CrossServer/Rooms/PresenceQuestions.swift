import CrossServerWire

extension ClusterQuestion {
    /// Who is in the room? And tell me of changes on its channel, for the next 30 s.
    struct WatchRoom: Event {
        static let name = "watchRoom"
        var namespace: String
        var room: String
        var isCountOnly: Bool
        /// Counts up, so that an older ``UnwatchRoom`` that comes later does not end it.
        var number: UInt64
        /// Which version the asking server has of whose members, by incarnation.
        var known: [String: UInt64]

        struct Reply: Codable, Sendable {
            /// Of the server that answers: versions are its own.
            var incarnation: String
            var version: UInt64
            var count: Int
            /// Nil when only the count was asked for, when there are too many, or when nothing has changed.
            var ids: [String]?
            /// Whether the asking server has this version, or gets it with changes that are on their way.
            var isUnchanged = false
        }
    }

    /// Do not tell me of changes any more. Nobody answers.
    struct UnwatchRoom: Event {
        static let name = "unwatchRoom"
        var namespace: String
        var room: String
        var isCountOnly: Bool
        var number: UInt64
    }

    /// How the members of a room on one server have changed. Nobody answers.
    struct RoomChanges: Event {
        static let name = "roomChanges"
        var incarnation: String
        /// The version that these changes follow. A server that has an older one has missed some.
        var from: UInt64
        var to: UInt64
        var count: Int
        var joined: [String] = []
        var left: [String] = []
    }
}

extension ClusterQuestion.WatchRoom {
    var topic: PresenceTopic {
        PresenceTopic(room: RoomName(namespace: self.namespace, room: self.room), isCountOnly: self.isCountOnly)
    }
}

extension ClusterQuestion.UnwatchRoom {
    var topic: PresenceTopic {
        PresenceTopic(room: RoomName(namespace: self.namespace, room: self.room), isCountOnly: self.isCountOnly)
    }
}
