import CrossServerWire

/// What our servers ask each other, apart from the application's events. The original does not hear it.
enum ClusterQuestion {
    /// What has become of your messages to others, and of theirs to you?
    struct Ledger: ServerQuestion {
        static let name = "ledger"
        static let concernsClients = false
        typealias Reply = DeliveryLedger
    }
}

/// One that all servers answer.
protocol ServerQuestion: Event {
    /// Whether servers need not answer to which no client can be connected.
    static var concernsClients: Bool { get }
}

extension ServerQuestion {
    static var concernsClients: Bool { true }
}
