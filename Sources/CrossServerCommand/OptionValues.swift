import ArgumentParser
import Foundation
import Logging

/// A TCP port, 0 to 65535.
struct Port: ExpressibleByArgument, RawRepresentable {
    let rawValue: Int

    init?(rawValue: Int) {
        guard 0...65_535 ~= rawValue else { return nil }
        self.rawValue = rawValue
    }

    init?(argument: String) {
        guard let value = Int(argument) else { return nil }
        self.init(rawValue: value)
    }
}

/// A whole number from 1 to 2^53.
struct PositiveCount: ExpressibleByArgument, RawRepresentable {
    let rawValue: Int

    init?(rawValue: Int) {
        guard 1...(1 << 53) ~= rawValue else { return nil }
        self.rawValue = rawValue
    }

    init?(argument: String) {
        guard let value = Int(argument) else { return nil }
        self.init(rawValue: value)
    }
}

/// A number larger than 0, up to 10^9.
struct PositiveNumber: ExpressibleByArgument, RawRepresentable {
    let rawValue: Double

    init?(rawValue: Double) {
        guard rawValue > 0, rawValue <= 1e9 else { return nil }
        self.rawValue = rawValue
    }

    init?(argument: String) {
        guard let value = Double(argument) else { return nil }
        self.init(rawValue: value)
    }
}

/// Options that were not given on the command line and may be in the environment.
struct OptionEnvironment {
    private let variables = ProcessInfo.processInfo.environment

    /// The option's value, or else that of its variable.
    ///
    /// - Throws: an error that names the variable when its value is wrong.
    func value<Value: ExpressibleByArgument>(_ option: Value?, for name: String) throws -> Value? {
        if let option { return option }
        let variable = Self.variable(of: name)
        guard let text = self.variables[variable] else { return nil }
        guard let value = Value(argument: text) else {
            throw ValidationError("The value '\(text)' is invalid for the environment variable \(variable)")
        }
        return value
    }

    /// The words in the option's variable.
    func words(_ name: String) -> [String] {
        self.variables[Self.variable(of: name)]?.split(separator: " ").map(String.init) ?? []
    }

    func flag(_ flag: Bool, for name: String) throws -> Bool {
        try flag || (self.value(nil, for: name) ?? false)
    }

    private static func variable(of name: String) -> String {
        "CROSSSERVER_" + name.uppercased().replacing("-", with: "_")
    }
}

struct LoggingOptions: ParsableArguments {
    @Option(help: "trace, debug, info, notice, warning, error or critical. (default: notice)")
    var logLevel: LogLevel?

    /// Sends logs to standard error.
    ///
    /// - Parameter standard: the level when none is asked for.
    func bootstrap(_ environment: OptionEnvironment, standard: Logger.Level = .notice) throws -> Logger {
        LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
        var logger = Logger(label: "crossserver")
        logger.logLevel = try environment.value(self.logLevel, for: "log-level")?.level ?? standard
        return logger
    }
}

struct LogLevel: ExpressibleByArgument {
    let level: Logger.Level

    init?(argument: String) {
        guard let level = Logger.Level(rawValue: argument.lowercased()) else { return nil }
        self.level = level
    }

    static var allValueStrings: [String] { Logger.Level.allCases.map(\.rawValue) }
}
