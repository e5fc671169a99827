/// A room, which is unique in its namespace.
struct RoomName: Hashable, Sendable {
    var namespace: String
    var room: String
}
