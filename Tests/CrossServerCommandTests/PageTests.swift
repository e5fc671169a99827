import Foundation
import Testing

extension EndToEnd {
    /// The page of `crossserver demo` and `crossserver serve --page`, in headless Chromium and by its HTTP side; what is
    /// done there stands in Tests/Clients/page.py and page_api.py.
    @Suite
    struct PageTests {
        private static let scenarios = [
            "chat", "room", "direct", "cluster", "whereIs", "kick", "presence", "question", "keyboard",
            "killAndRestart", "stopAndRestart", "killThePagesOwnServer",
        ]

        @Test(.timeLimit(.minutes(4)))
        func threeServersOverTheBroker() async throws {
            try await withDemo { try await $0.use(Self.scenarios) }
        }

        @Test(.timeLimit(.minutes(4)))
        func threeServersOverRedis() async throws {
            let redis = [try await RedisServer.start(), try await RedisServer.start()]
            try await withDemo(redis.flatMap { ["--redis", $0.url] }) { try await $0.use(Self.scenarios) }
        }

        @Test(.timeLimit(.minutes(2)))
        func screenshots() async throws {
            try await withDemo { demo in
                let folder = demo.program.directory.appending(path: "screenshots")
                let script = [try Tools.script("page.py"), demo.page, "--screenshots", folder.path]
                try await ExternalProgram.run(Tools.python, script, within: .seconds(100))
                let made = try FileManager.default.contentsOfDirectory(atPath: folder.path)
                #expect(Set(made) == ["dark.png", "empty.png", "light.png", "phone-dark.png", "phone.png"])
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func pagesFromElsewhereCannotControlTheServers() async throws {
            try await withDemo { demo in
                let script = [try Tools.script("page_api.py"), "\(demo.port)", "demo"]
                try await ExternalProgram.run(Tools.python, script)
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func singleServer() async throws {
            try await withServe(["--page"]) { server in
                let page = [try Tools.script("page.py"), "http://127.0.0.1:\(server.port)/", "single"]
                try await ExternalProgram.run(Tools.python, page)
                let script = [try Tools.script("page_api.py"), "\(server.port)", "serve"]
                try await ExternalProgram.run(Tools.python, script)
                try await ConversationClient.pythonWebsockets.hold(["echo", "rooms", "commands"], at: server.url)
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func theProgramBringsItsPageAlong() async throws {
            let directory = FileManager.default.temporaryDirectory.appending(path: "crossserver-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
            defer {
                // What cannot be removed is left to the system, which clears its temporary directory.
                try? FileManager.default.removeItem(at: directory)
            }
            let moved = directory.appending(path: "crossserver")
            try FileManager.default.copyItem(at: Tools.crossserver, to: moved)
            let server = try ExternalProgram(moved, ["serve", "--page", "--port", "0"])
            try await server.wait(.seconds(60), for: "listening") { server.standardOutput.hasSuffix("\n") }
            guard let port = server.standardOutput.split(separator: ":").last?.dropLast() else {
                throw server.failure("does not say where it listens")
            }
            let script = [try Tools.script("page_api.py"), String(port), "serve"]
            try await ExternalProgram.run(Tools.python, script)
            server.send(signal: SIGTERM)
            let status = try await server.exitStatus(within: .seconds(30))
            #expect(status == 0)
        }

        @Test(
            .timeLimit(.minutes(1)),
            arguments: [(["serve", "--page", "--no-websocket", "--redis", "127.0.0.1:1"], 64)]
        )
        func wrongOptions(_ arguments: [String], status expected: Int) async throws {
            let program = try ExternalProgram(Tools.crossserver, arguments)
            let status = try await program.exitStatus(within: .seconds(30))
            #expect(Int(status) == expected)
            #expect(program.standardError.contains("--page"))
        }

        @Test(.timeLimit(.minutes(1)))
        func portInUse() async throws {
            try await withDemo { demo in
                for arguments in [["demo"], ["serve", "--page"]] {
                    let second = try ExternalProgram(Tools.crossserver, arguments + ["--port", "\(demo.port)"])
                    let status = try await second.exitStatus(within: .seconds(30))
                    #expect(status == 1)
                    #expect(second.standardError.contains("cannot listen at 127.0.0.1:\(demo.port)"))
                }
            }
        }
    }
}

/// A running `crossserver demo`.
private struct DemoProcess {
    let program: ExternalProgram
    let port: Int

    var page: String { "http://127.0.0.1:\(self.port)/" }

    func use(_ scenarios: [String]) async throws {
        let script = [try Tools.script("page.py"), self.page] + scenarios
        let said = try await ExternalProgram.run(Tools.python, script, within: .seconds(220))
        #expect(said.split(separator: "\n") == scenarios.map { "ok \($0)" })
    }
}

/// Runs `body` with a demonstration of its own, which must live to the end and stop gracefully.
private func withDemo(_ arguments: [String] = [], _ body: (DemoProcess) async throws -> Void) async throws {
    let program = try ExternalProgram(Tools.crossserver, ["demo", "--port", "0"] + arguments)
    try await program.wait(.seconds(60), for: "three servers") {
        ["serverA", "serverB", "serverC"].allSatisfy { program.standardOutput.contains("\($0) listening on ") }
    }
    let page = try Regex(#"page: http://127\.0\.0\.1:([0-9]+)/\n"#, as: (Substring, Substring).self)
    guard let port = try page.firstMatch(in: program.standardOutput).flatMap({ Int($0.1) }) else {
        throw program.failure("does not say where its page is")
    }
    do {
        try await body(DemoProcess(program: program, port: port))
    } catch {
        throw program.failure("ran while this failed: \(error)")
    }
    program.send(signal: SIGTERM)
    let status = try await program.exitStatus(within: .seconds(60))
    guard status == 0 else { throw program.failure("ended with status \(status)") }
}
