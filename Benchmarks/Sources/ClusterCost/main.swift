import NIOPosix

// Counts the messages of the bus that servers receive and decode for each message that is sent, in clusters of several
// sizes in this process, beside what the servers of the Node original receive. What servers say about themselves once a
// second is not counted.

@MainActor func column(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(width - text.count, 0)) + text
}

func decimal(_ value: Double) -> String {
    let hundredths = Int((value * 100).rounded())
    let rest = hundredths % 100
    return "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)"
}

let kindWidth = 36
print("received for one message sent      servers   by all    each   original: by all    each")
for count in [2, 4, 8, 16] {
    for row in try await Measurement.rows(servers: count) {
        let servers = Double(count)
        print(
            row.kind.padded(to: kindWidth) + column("\(count)", 6) + column(decimal(row.received), 9)
                + column(decimal(row.received / servers), 8) + column(decimal(row.original), 19)
                + column(decimal(row.original / servers), 8)
        )
    }
}

extension String {
    func padded(to width: Int) -> String { self + String(repeating: " ", count: max(width - self.count, 0)) }
}
