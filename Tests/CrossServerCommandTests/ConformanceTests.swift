import Foundation
import Testing

extension EndToEnd {
    @Suite
    struct ConformanceTests {
        /// The subset of the Autobahn cases that takes seconds; `Scripts/conformance --full` runs all.
        @Test(.timeLimit(.minutes(10)), arguments: ["server", "client"])
        func autobahn(_ side: String) async throws {
            try await ExternalProgram.run(
                Tools.packageRoot.appending(path: "Scripts/conformance"),
                ["--peer", Tools.conformancePeer.path, side],
                within: .seconds(580)
            )
        }
    }
}
