import Foundation

/// Where the tests find the programs that they start. A test fails when one is missing; none is skipped.
enum Tools {
    static let packageRoot = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    static let clients = Self.packageRoot.appending(path: "Tests/Clients")

    /// What `crossserver` and the other products were built into: the directory of the test bundle.
    static let products: URL = {
        #if os(macOS)
        for bundle in Bundle.allBundles where bundle.bundlePath.hasSuffix(".xctest") {
            return bundle.bundleURL.deletingLastPathComponent()
        }
        #endif
        return Bundle.main.bundleURL
    }()

    static var crossserver: URL {
        get throws { try Self.existing(Self.products.appending(path: "crossserver"), "build the package") }
    }

    static var conformancePeer: URL {
        get throws { try Self.existing(Self.products.appending(path: "ConformancePeer"), "build the package") }
    }

    /// Python with the packages that the clients need.
    static var python: URL {
        get throws {
            let python = Self.packageRoot.appending(path: ".build/venv/bin/python")
            return try Self.existing(python, "run Scripts/test, which makes it")
        }
    }

    static func script(_ name: String) throws -> String {
        try Self.existing(Self.clients.appending(path: name), "restore it").path
    }

    /// A program of the search path.
    static func program(_ name: String) throws -> URL {
        let searched = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"
        for directory in searched.split(separator: ":") {
            let candidate = URL(filePath: String(directory)).appending(path: name)
            if FileManager.default.isExecutableFile(atPath: candidate.path) { return candidate }
        }
        throw MissingTool(description: "\(name) is not in \(searched): run Scripts/test, which installs it")
    }

    private static func existing(_ file: URL, _ advice: String) throws -> URL {
        guard FileManager.default.fileExists(atPath: file.path) else {
            throw MissingTool(description: "\(file.path) is missing: \(advice)")
        }
        return file
    }
}

struct MissingTool: Error, CustomStringConvertible {
    var description: String
}
