import ArgumentParser
import CrossServer

@main
struct CrossServerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "crossserver",
        abstract: "WebSocket servers with events, replies and rooms, alone or as a cluster.",
        discussion: """
            Exit codes: 0 when all went well, 1 when it did not, 64 for a wrong option. A command that has more says \
            so in its own help.
            """,
        subcommands: [Serve.self, Demo.self, Connect.self, Emit.self, Broker.self]
    )

    static func main() async {
        // Before any limits are made, which depend on it.
        FileLimit.raise()
        await self.main(nil)
    }
}
