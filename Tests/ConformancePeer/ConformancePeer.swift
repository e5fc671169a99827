import ArgumentParser

/// The peer that the Autobahn cases are run against: it echoes every message and sends nothing of its own.
@main
struct ConformancePeer: AsyncParsableCommand {
    static let configuration = CommandConfiguration(subcommands: [EchoServer.self, EchoClient.self])

    /// Bytes of a message, and of those that may wait for a fuzzer that reads late.
    static let maximumMessageSize = 64 << 20
    /// Case 9.3.1 sends 4 MiB in frames of 64 bytes.
    static let maximumFragments = 1 << 17
}
