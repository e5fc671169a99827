import CrossServerTesting
import Foundation
import Recipes
import Testing

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

@Suite struct PlacementTests {
    private static let users = (1...20_000).map { "user\($0)" }

    private func users(of ring: HashRing) -> [String: String] {
        Dictionary(uniqueKeysWithValues: Self.users.compactMap { user in ring.node(for: user).map { (user, $0) } })
    }

    @Test(arguments: [2, 5, 16])
    func usersAreSharedOutEvenly(count: Int) {
        let ring = HashRing(nodes: (0..<count).map { "server\($0)" })
        let counts = Dictionary(grouping: self.users(of: ring).values) { $0 }.mapValues(\.count)
        #expect(counts.count == count)
        let mean = Double(Self.users.count) / Double(count)
        for (server, count) in counts {
            #expect((0.75 * mean...1.25 * mean).contains(Double(count)), "\(server) has \(count) of \(mean)")
        }
    }

    @Test func onlyTheUsersOfAServerThatLeavesMove() {
        let names = (0..<10).map { "server\($0)" }
        let before = self.users(of: HashRing(nodes: names))
        let after = self.users(of: HashRing(nodes: names.filter { $0 != "server3" }))
        let moved = Self.users.filter { before[$0] != after[$0] }
        #expect(moved.allSatisfy { before[$0] == "server3" })
        #expect(Set(moved) == Set(Self.users.filter { before[$0] == "server3" }))
        // They are shared out among all that stay, none of which gets much more than its part.
        let gains = Dictionary(grouping: moved.compactMap { after[$0] }) { $0 }.mapValues(\.count)
        #expect(gains.count == 9)
        #expect(gains.values.allSatisfy { $0 < moved.count / 4 }, "\(gains)")
        // And come back with it.
        #expect(self.users(of: HashRing(nodes: names.reversed())) == before)
    }

    @Test func aRingWithoutNodesHasNoAnswer() {
        #expect(HashRing(nodes: []).node(for: "x") == nil)
        #expect(HashRing(nodes: ["a", "a"]) == HashRing(nodes: ["a"]))
        #expect(HashRing(nodes: ["a"]).node(for: "") == "a")
    }

    @Test(.timeLimit(.minutes(2)))
    func theLoginServiceNamesServersThatLive() async throws {
        try await withBroker { broker in
            let login = try Program("login-service", ["--port", "0", "--redis", broker])
            defer { login.terminate() }
            let port = try await login.line("answers at port ")
            let (_, status) = try await self.place(of: "1", at: port)
            #expect(status == 503)
            let first = try Program("chat-nodes", ["serverA", "serverB", "serverC", "--port", "0", "--redis", broker])
            defer { first.terminate() }
            let second = try Program("chat-nodes", ["serverD", "serverE", "--port", "0", "--redis", broker])
            defer { second.terminate() }
            var urls: [String: String] = [:]
            for (program, servers) in [(first, ["serverA", "serverB", "serverC"]), (second, ["serverD", "serverE"])] {
                for server in servers {
                    urls[server] = "ws://127.0.0.1:\(try await program.line("\(server) listens at port "))/"
                }
            }
            try await self.expectPlaces(like: HashRing(nodes: urls.keys), urls, at: port)
            second.terminate()
            _ = try await second.output()
            try await self.expectPlaces(like: HashRing(nodes: ["serverA", "serverB", "serverC"]), urls, at: port)
            let (_, wrong) = try await self.place(of: "", at: port)
            #expect(wrong == 400)
        }
    }

    /// Waits until every user is told what the ring says.
    private func expectPlaces(like ring: HashRing, _ urls: [String: String], at port: String) async throws {
        try await eventually {
            for user in Self.users.prefix(50) {
                let (place, _) = try await self.place(of: user, at: port)
                guard let place, place.server == ring.node(for: user) else { return false }
                #expect(place.url == urls[place.server])
            }
            return true
        }
    }

    private func place(of user: String, at port: String) async throws -> (UserPlacement.Place?, Int?) {
        let url = try #require(URL(string: "http://127.0.0.1:\(port)/place?user=\(user)"))
        let (data, response) = try await URLSession.shared.data(from: url)
        let status = (response as? HTTPURLResponse)?.statusCode
        return (status == 200 ? try JSONDecoder().decode(UserPlacement.Place.self, from: data) : nil, status)
    }
}
