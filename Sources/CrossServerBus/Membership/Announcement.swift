/// What a server says about itself to the others of its cluster.
///
/// It travels as the payload of an event on the cluster channel or on the inbox of one server.
package struct Announcement: Sendable, Equatable {
    package enum Kind: String, Sendable {
        /// To everyone, at intervals and when something has changed.
        case heartbeat
        /// To one server: prove that you live.
        case ask
        /// To who asked: the proof, which is the nonce.
        case alive
        /// To everyone: this server stops.
        case left
        /// To the server itself: does a message that is published on a link come back?
        case probe
    }

    /// A link that the sender hears, with the sender's number and name for it.
    package struct HeardLink: Sendable, Equatable {
        package var number: Int
        package var name: String

        package init(number: Int, name: String) {
            self.number = number
            self.name = name
        }
    }

    /// A life of a server that the sender hears.
    package struct HeardServer: Sendable, Hashable {
        package var name: String
        package var incarnation: String

        package init(name: String, incarnation: String) {
            self.name = name
            self.incarnation = incarnation
        }
    }

    package var kind: Kind
    package var name: String
    /// One life of the server: lowercase letters and digits.
    package var incarnation: String
    /// Of the sender's last heartbeat, or of the probe; counted from 1.
    package var number: UInt64
    /// Milliseconds since the sender started, by its own clock, when it sent this.
    package var uptime: Int64
    /// The sender's number of the link that carries this.
    package var via: Int
    package var role = Member.Role.server
    /// Where the server is, for people.
    package var address = ""
    /// Milliseconds between the sender's heartbeats.
    package var interval: Int64 = 1_000
    package var connections = 0
    package var rooms = 0
    package var isDraining = false
    /// Whether clients may be connected to it.
    package var takesClients = true
    package var links: [HeardLink] = []
    /// Some of the servers that the sender hears; all of them in turn.
    package var heard: [HeardServer] = []
    /// What only who hears the inbox can know.
    package var nonce: String?
    /// In the proof: the hash of what the sender will say when it leaves.
    package var seal: String?
    /// In the farewell: what the seal is the hash of. Nobody else can know it.
    package var secret: String?
    /// In the proof to a server with the same name: the incarnation that keeps the name, once that is decided.
    package var winner: String?

    package init(
        _ kind: Kind,
        name: String,
        incarnation: String,
        number: UInt64 = 0,
        uptime: Int64 = 0,
        via: Int = 0
    ) {
        self.kind = kind
        self.name = name
        self.incarnation = incarnation
        self.number = number
        self.uptime = uptime
        self.via = via
    }

    /// What a server may say. The rest is refused.
    package enum Limits {
        package static let nameLength = 255
        package static let incarnationLength = 32
        package static let addressLength = 255
        package static let links = 64
        package static let heard = 16
        /// Milliseconds: 60 s.
        package static let interval: Int64 = 60_000
        package static let nonceLength = 32
        package static let sealLength = 64
    }
}
