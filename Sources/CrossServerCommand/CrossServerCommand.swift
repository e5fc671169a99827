import ArgumentParser

@main
struct CrossServerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "crossserver",
        abstract: "A WebSocket server with events, replies and rooms, and a client to talk to it.",
        discussion: """
            Exit codes: 0 when all went well, 1 when it did not, 64 for a wrong option. A command that has more says \
            so in its own help.
            """,
        subcommands: [Serve.self, Connect.self]
    )
}
