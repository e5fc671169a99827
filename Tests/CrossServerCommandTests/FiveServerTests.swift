import Foundation
import Testing

extension EndToEnd {
    /// Five servers, two Redis servers and 200 clients; what they do stands in Tests/Clients/five_servers.py.
    @Suite
    struct FiveServerTests {
        @Test(.timeLimit(.minutes(4)), arguments: ["conversation", "moves", "restart", "freeze", "cut"])
        func everyClientReceivesWhatIsForIt(_ part: String) async throws {
            let script = [try Tools.script("five_servers.py"), try Tools.crossserver.path, part]
            let said = try await ExternalProgram.run(Tools.python, script, within: .seconds(220))
            #expect(said == "ok \(part)\n")
        }
    }
}
