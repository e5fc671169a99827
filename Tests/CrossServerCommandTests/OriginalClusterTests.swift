import Foundation
import Testing

extension EndToEnd {
    /// Servers of ours beside a stand-in for a server of the original; what they say stands in
    /// Tests/Clients/original_cluster.py.
    @Suite
    struct OriginalClusterTests {
        @Test(
            .timeLimit(.minutes(3)),
            arguments: [
                ["asksOurs", "asksWithoutPayload", "asksWithWhatJSONHasNot", "asksOne", "ownName", "countsRooms"],
                ["answersOurs", "answersWithoutPayload", "answersAll"], ["falseReplies", "lateReply"],
                ["garbage", "large"],
            ]
        )
        func conversations(_ names: [String]) async throws {
            try await withServeCluster(redis: 1, ["serverA": [], "serverB": ["--json-bus"]]) { cluster in
                try await Self.hold(names, at: cluster.redis[0].url)
                for (name, server) in cluster.servers {
                    let log = server.program.standardError
                    #expect(log.utf8.count < 20_000, "\(name) lets others fill its log: \(log.suffix(1_000))")
                }
                let all = try await cluster.allAnswer()
                #expect(all)
            }
        }

        /// What they say stands in Tests/Clients/original_clients.py.
        @Test(
            .timeLimit(.minutes(3)),
            arguments: [
                ["originalBytes", "reachesOurs"], ["reachesOriginal", "orderToOriginal", "sameIdOnOriginal"],
                ["joinsLate"], ["wrongChannel", "wrongMessages"],
            ]
        )
        func conversationsOfClients(_ names: [String]) async throws {
            try await withServeCluster(redis: 1, ["serverA": [], "serverB": ["--json-bus"]]) { cluster in
                let servers = try ["serverA", "serverB"].map { try #require(cluster.servers[$0]) }
                let script = [try Tools.script("original_clients.py"), cluster.redis[0].url] + servers.map(\.url)
                let said = try await ExternalProgram.run(Tools.python, script + names, within: .seconds(150))
                #expect(said.split(separator: "\n") == names.map { "ok \($0)" })
                for server in servers {
                    let log = server.program.standardError
                    #expect(log.utf8.count < 20_000, "others fill the log: \(log.suffix(1_000))")
                }
            }
        }

        /// - Parameter url: of the Redis server that serverA and serverB use; serverB writes JSON.
        static func hold(_ names: [String], at url: String) async throws {
            let script = [try Tools.script("original_cluster.py"), url, try Tools.crossserver.path]
            let said = try await ExternalProgram.run(Tools.python, script + names, within: .seconds(150))
            #expect(said.split(separator: "\n") == names.map { "ok \($0)" })
        }
    }
}
