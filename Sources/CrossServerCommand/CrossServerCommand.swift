import ArgumentParser

@main
struct CrossServerCommand: AsyncParsableCommand {
    func run() async throws { print("hi") }
}
