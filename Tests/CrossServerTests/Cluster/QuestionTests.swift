import CrossServer
import CrossServerBus
import CrossServerTesting
import NIOPosix
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(2)))
struct QuestionTests {
    @Test func theClusterAnswersTogether() async throws {
        try await withChat(["a": ["1", "2"], "b": ["3", "1"], "c": []]) { chat in
            let (a, b) = (chat.servers[0], chat.servers[1])
            for (server, id) in [(a, "1"), (a, "2"), (b, "3")] {
                try await server.joinRoom("lobby", in: "chat", id)
            }
            try await b.joinRoom("lobby2", in: "chat", "3")
            try await b.joinRoom("x", in: "other", "1")
            for server in chat.servers {
                let places = try await server.locate("1")
                #expect(Set(places.value.map(\.server)) == ["a", "b"])
                #expect(places.value.first?.server == "b", "the youngest first")
                #expect(places.isComplete)
                #expect(try await server.locate("nobody").value == [])
                let all = try await server.clusterSocketCount()
                #expect(all == ClusterAnswer(value: ["a": 2, "b": 2, "c": 0]))
                #expect(try await server.clusterSocketCount(in: "chat").value == ["a": 2, "b": 1, "c": 0])
                let lobby = try await server.clusterSocketCount(inRoom: "lobby", in: "chat")
                #expect(lobby.value == ["a": 2, "b": 1, "c": 0])
                let prefix = try await server.clusterSocketIds(inRoom: "lob", in: "chat", matching: .prefix)
                #expect(prefix.value == ["a": ["1", "2"], "b": ["3"], "c": []])
                #expect(try await server.clusterSocketIds().value == ["a": ["1", "2"], "b": ["3", "1"], "c": []])
                let other = try await server.clusterSocketIds(in: "other").value
                #expect(other == ["a": [], "b": ["1"], "c": []])
            }
        }
    }

    @Test func aClientIsDisconnectedEverywhere() async throws {
        try await withChat(["a": ["1"], "b": ["2"], "c": []]) { chat in
            let second = try await Chat.connect("1", to: chat.servers[1])
            let answer = try await chat.servers[2].disconnect("1", reason: "enough")
            #expect(answer == ClusterAnswer(value: 2))
            for client in [try chat["1"], second] {
                let close = try await client.closed()
                #expect(close.code == .forcedLogout)
                #expect(close.reason == "enough")
            }
            try await eventually { try await chat.servers[2].locate("1").value.isEmpty }
            #expect(try await chat.servers[2].disconnect("1").value == 0)
            #expect(try await chat.servers[0].clusterSocketCount().value == ["a": 0, "b": 1, "c": 0])
        }
    }

    @Test func aClientOfAnotherServerIsAsked() async throws {
        try await withChat(["a": ["1"], "b": ["2"]]) { chat in
            for server in chat.servers {
                async let answer = server.emit(toSocketId: "2", "color", ["é": 1], timeout: .seconds(60))
                let question = try await chat["2"].nextText()
                #expect(question.hasPrefix(#"{"event":"color","payload":{"é":1},"requestId":""#))
                let id = try #require(try Payload(json: question)["requestId"])
                try chat["2"].send(#"{"payload":{"color":"red"},"requestId":\#(id.json)}"#)
                #expect(try await answer == ["color": "red"])

                let failing = Task { try await server.emit(toSocketId: "2", "color", timeout: .seconds(60)) }
                let second = try #require(try Payload(json: try await chat["2"].nextText())["requestId"])
                try chat["2"].send(#"{"requestId":\#(second.json),"error":{"code":"TIMEOUT","message":"no"}}"#)
                let failure = await #expect(throws: RequestFailure.self) { try await failing.value }
                #expect(failure == RequestFailure(code: "TIMEOUT", message: "no"))
            }
            let server = chat.servers[0]
            let ignored = await #expect(throws: CrossServerError.self) {
                try await server.emit(toSocketId: "2", "color", timeout: .seconds(2))
            }
            #expect(ignored?.code == .timeout)
            _ = try await chat["2"].nextText()
            let cut = Task { try await server.emit(toSocketId: "2", "color", timeout: .seconds(60)) }
            _ = try await chat["2"].nextText()
            try chat["2"].terminate()
            let closed = await #expect(throws: CrossServerError.self) { try await cut.value }
            #expect(closed?.code == .socketClosed)
            let unknown = await #expect(throws: CrossServerError.self) {
                try await server.emit(toSocketId: "nobody", "color", timeout: .seconds(60))
            }
            #expect(unknown?.code == .unknownSocket)
        }
    }

    @Test func aServerWithoutABusAnswersAlone() async throws {
        try await withServer(prepare: Chat.prepare) { server in
            let client = try await server.connect("/?id=1")
            _ = try await client.request("flush")
            #expect(try await server.adapter.locate("1").value.count == 1)
            let count = try await server.adapter.clusterSocketCount()
            #expect(count.value == ["test": 1])
            #expect(try await server.adapter.disconnect("1", code: .goingAway).value == 1)
            #expect(try await client.closed().code == .goingAway)
        }
    }

    @Test func aRoomIsRemovedEverywhere() async throws {
        try await withChat(["a": ["1"], "b": ["2"]]) { chat in
            for (server, id) in zip(chat.servers, ["1", "2"]) { try await server.joinRoom("r", in: "chat", id) }
            try chat.servers[0].removeRoom("r", in: "chat")
            try await eventually {
                try await chat.servers[1].clusterSocketCount(inRoom: "r", in: "chat").value == ["a": 0, "b": 0]
            }
            for (server, id) in zip(chat.servers, ["1", "2"]) { try await server.joinRoom("r", in: "chat", id) }
            try chat.servers[0].broadcastToRoom("r", in: "chat", "end", removingRoom: true)
            for id in ["1", "2"] { _ = try await chat[id].next("end") }
            #expect(try await chat.servers[1].clusterSocketCount(inRoom: "r", in: "chat").value == ["a": 0, "b": 0])
        }
    }

    @Test func aNewLoginReplacesTheOldOneAnywhere() async throws {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.cluster.uniqueIds = .replacing
        try await withChat(["a": ["1"], "b": [], "c": []], configuration: configuration) { chat in
            var last = try chat["1"]
            for number in 1...30 {
                let next = try await Chat.connect("1", to: chat.servers[number % 3])
                #expect(try await last.closed().code == .replacedByAnotherLogin)
                last = next
            }
            let places = try await chat.servers[0].locate("1").value
            #expect(places.map(\.server) == [chat.servers[30 % 3].serverName])
        }
    }

    /// Logins in the same moment: one stays, whoever it is.
    @Test func ofSeveralLoginsAtOnceOneStays() async throws {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.cluster.uniqueIds = .replacing
        try await withChat(["a": [], "b": [], "c": []], configuration: configuration) { chat in
            for round in 0..<20 {
                let id = "round \(round)".replacing(" ", with: "-")
                let clients = try await withThrowingTaskGroup(of: TestClient.self) { group in
                    for server in chat.servers {
                        let address = try #require(server.listeningAddress)
                        group.addTask { try await TestClient.connect(to: address, target: "/?id=\(id)") }
                    }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                try await eventually { try await chat.servers[0].locate(id).value.count == 1 }
                // What is under way has arrived when all servers have answered.
                #expect(try await chat.servers[1].locate(id).value.count == 1)
                for client in clients { client.close() }
            }
        }
    }

    @Test func whatComesTooLateForAReplacedConnectionIsReported() async throws {
        let unsent = Mutex<[String]>([])
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.cluster.uniqueIds = .replacing
        try await withChat(["a": [], "b": []], configuration: configuration) { chat in
            let (a, b) = (chat.servers[0], chat.servers[1])
            a.onUnsentMessage { message in unsent.withLock { $0.append(message.error.code.description) } }
            let client = try await Chat.connect("1", to: a)
            let socket = try #require(a.socket(forID: "1"))
            // It reads this reply, and no Close frame: the connection is not gone yet when the message comes.
            client.setReading(false)
            _ = try await client.request("flush")
            let next = try await Chat.connect("1", to: b)
            try await eventually { a.socket(forID: "1") == nil }
            try await eventually {
                try socket.emit("late", 1)
                return unsent.withLock { !$0.isEmpty }
            }
            try a.broadcast("all", 2)
            #expect(try await next.next("all") == 2)
            client.setReading(true)
            #expect(try await client.closed().code == .replacedByAnotherLogin)
            #expect(Set(unsent.withLock { $0 }) == ["UNKNOWN_SOCKET"])
        }
    }

    @Test func aLoginIsRefusedWhileTheIdIsTaken() async throws {
        var configuration = WebSocketCrossServerAdapter.Configuration()
        configuration.cluster.uniqueIds = .refusing
        try await withCluster(
            ["a", "b"],
            listening: .host("127.0.0.1", port: 0),
            configuration: configuration,
            prepare: { adapter in
                adapter.onWebSocketEvent(.connection) { [unowned adapter] socket, request in
                    do {
                        try await adapter.claimUserSocket(request.parameters["id"] ?? "", socket)
                    } catch let error as CrossServerError where error.code == .idTaken {
                        socket.close(.authenticationFailed)
                    }
                }
                adapter.onWebSocketEvent("flush") { _, _, reply in reply?(.absent) }
            },
            run: { servers in
                let first = try await Chat.connect("1", to: servers[0])
                for server in servers {
                    let address = try #require(server.listeningAddress)
                    let refused = try await TestClient.connect(to: address, target: "/?id=1")
                    #expect(try await refused.closed().code == .authenticationFailed)
                }
                first.close()
                try await eventually { try await servers[1].locate("1").value.isEmpty }
                _ = try await Chat.connect("1", to: servers[1])
                #expect(try await servers[0].locate("1").value.map(\.server) == ["b"])
                // Both ask in the same moment: at most one gets it.
                for round in 0..<20 {
                    let address = try servers.map { try #require($0.listeningAddress) }
                    async let one = TestClient.connect(to: address[0], target: "/?id=both\(round)")
                    async let two = TestClient.connect(to: address[1], target: "/?id=both\(round)")
                    _ = try await (one, two)
                    try await eventually { try await servers[0].locate("both\(round)").value.count == 1 }
                    try await eventually { servers.map(\.socketClientCount).reduce(0, +) <= 2 + round }
                    #expect(try await servers[0].locate("both\(round)").value.count == 1)
                }
            }
        )
    }
}
