import ArgumentParser
import CrossServer
import CrossServerWire
import Foundation
import Logging
import ServiceLifecycle
import UnixSignals

/// Prints a line when something is ready, and then waits with the services beside it for the end.
struct Announcer: Service {
    let line: @Sendable () async throws -> String?

    func run() async throws {
        if let line = try await cancelWhenGracefulShutdown({ try await self.line() }) { printLine(line) }
        try await gracefulShutdown()
    }
}

/// Writes a line to standard output at once, also into a pipe.
func printLine(_ line: String) {
    FileHandle.standardOutput.write(Data("\(line)\n".utf8))
}

/// Writes a line to standard error; what others have said in it cannot harm a terminal.
func printError(_ line: String) {
    FileHandle.standardError.write(Data("\(LogText.escaped(line))\n".utf8))
}

/// Runs services until they end, or SIGINT or SIGTERM stops them gracefully.
///
/// - Parameter last: ends all of them when it ends.
/// - Throws: `ExitCode.failure` after it has said what went wrong; `ValidationError` when a payload cannot be sent.
func runServices(
    _ services: [any Service],
    until last: (any Service)? = nil,
    logger: Logger
) async throws {
    var configurations = services.map { ServiceGroupConfiguration.ServiceConfiguration(service: $0) }
    if let last {
        configurations.append(.init(service: last, successTerminationBehavior: .gracefullyShutdownGroup))
    }
    let group = ServiceGroup(
        configuration: .init(services: configurations, gracefulShutdownSignals: [.sigint, .sigterm], logger: logger)
    )
    do {
        try await group.run()
    } catch let error as CrossServerError {
        printError("Error: \(error.message)")
        throw ExitCode.failure
    } catch let error as BusError {
        printError("Error: \(error.message)")
        throw ExitCode.failure
    } catch let error as BusMessageError {
        throw ValidationError("\(error)")
    }
}
