import Testing

@testable import CrossServerWebSocket

@Suite struct ExtensionTests {
    @Test(
        arguments: [
            ("permessage-deflate", "permessage-deflate"),
            ("permessage-deflate; client_max_window_bits", "permessage-deflate"),
            (" permessage-deflate ;  client_max_window_bits = 10 ", "permessage-deflate; client_max_window_bits=10"),
            ("permessage-deflate; server_max_window_bits=9", "permessage-deflate; server_max_window_bits=9"),
            ("permessage-deflate; server_max_window_bits=\"10\"", "permessage-deflate; server_max_window_bits=10"),
            (
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
            ),
            ("permessage-deflate; server_max_window_bits=8", nil),
            ("permessage-deflate; server_max_window_bits=8, permessage-deflate", "permessage-deflate"),
            ("permessage-deflate; client_max_window_bits=8", "permessage-deflate; client_max_window_bits=8"),
            ("permessage-deflate; server_max_window_bits", nil),
            ("permessage-deflate; server_max_window_bits=7", nil),
            ("permessage-deflate; server_max_window_bits=16", nil),
            ("permessage-deflate; server_max_window_bits=09", nil),
            ("permessage-deflate; server_max_window_bits=+9", nil),
            ("permessage-deflate; client_max_window_bits=99999999999999999999", nil),
            ("permessage-deflate; server_no_context_takeover=1", nil),
            ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", nil),
            ("permessage-deflate; unknown", nil),
            ("permessage-deflate; unknown, permessage-deflate; client_max_window_bits", "permessage-deflate"),
            ("x-webkit-deflate-frame", nil),
            ("x-other; a=b, permessage-deflate", "permessage-deflate"),
        ] as [(String, String?)]
    )
    func serverAnswers(offer: String, answer: String?) throws {
        let offers = try #require(ExtensionOffer.parse([offer]))
        #expect(PerMessageDeflate().accept(offers)?.answer == answer)
    }

    @Test(
        arguments: [
            ("permessage-deflate", nil),
            (
                "permessage-deflate; client_max_window_bits",
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=11; client_max_window_bits=12"
            ),
            (
                "permessage-deflate; client_max_window_bits=10; server_max_window_bits=10",
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=10"
            ),
        ] as [(String, String?)]
    )
    func serverWithLimitsOfItsOwn(offer: String, answer: String?) throws {
        var deflate = PerMessageDeflate()
        deflate.serverMaximumWindowBits = 11
        deflate.clientMaximumWindowBits = 12
        deflate.serverNoContextTakeover = true
        deflate.clientNoContextTakeover = true
        let offers = try #require(ExtensionOffer.parse([offer]))
        #expect(deflate.accept(offers)?.answer == answer)
    }

    @Test(arguments: [
        "a;", "a;=1", "a; b=", "a; b=\"", "a; b=\"c", "a; b=\"c d\"", "a; b=\"\"", "a b", "a=1",
        "a; b=\"\\",
        "a; b=c d", "ä",
    ])
    func wrongSyntax(value: String) {
        #expect(ExtensionOffer.parse([value]) == nil)
    }

    @Test(arguments: [("", 0), (" , ", 0), ("a,", 1), (",a, ,b", 2)])
    func emptyMembersMeanNothing(value: String, count: Int) {
        #expect(ExtensionOffer.parse([value])?.count == count)
    }

    @Test func severalFieldsAreOneList() {
        let offers = ExtensionOffer.parse(["a; x=\"\\1\"", "b, c;y"])
        #expect(
            offers == [
                .init(name: "a", parameters: [.init(name: "x", value: "1")]),
                .init(name: "b"),
                .init(name: "c", parameters: [.init(name: "y", value: nil)]),
            ]
        )
    }

    @Test(
        arguments: [
            ("permessage-deflate", NegotiatedDeflate()),
            ("permessage-deflate; server_max_window_bits=8", .init(serverWindowBits: 8)),
            ("permessage-deflate; client_max_window_bits=9", .init(clientWindowBits: 9)),
            ("permessage-deflate; server_no_context_takeover", .init(serverNoContextTakeover: true)),
            ("permessage-deflate; client_no_context_takeover", .init(clientNoContextTakeover: true)),
            ("permessage-deflate; client_max_window_bits", nil),
            ("permessage-deflate; server_max_window_bits=16", nil),
            ("permessage-deflate; other", nil),
            ("other", nil),
        ] as [(String, NegotiatedDeflate?)]
    )
    func clientReadsTheAnswer(answer: String, negotiated: NegotiatedDeflate?) throws {
        let parsed = try #require(ExtensionOffer.parse([answer])?.first)
        #expect(PerMessageDeflate().confirm(parsed) == negotiated)
    }

    @Test(arguments: [
        ("permessage-deflate", false),
        ("permessage-deflate; server_no_context_takeover", false),
        ("permessage-deflate; server_max_window_bits=10", false),
        ("permessage-deflate; server_no_context_takeover; server_max_window_bits=11", false),
        ("permessage-deflate; server_no_context_takeover; server_max_window_bits=10; client_max_window_bits=13", false),
        ("permessage-deflate; server_no_context_takeover; server_max_window_bits=10", true),
        ("permessage-deflate; server_no_context_takeover; server_max_window_bits=9; client_max_window_bits=11", true),
    ])
    func clientInsistsOnWhatItAskedFor(answer: String, isAccepted: Bool) throws {
        var deflate = PerMessageDeflate()
        deflate.serverNoContextTakeover = true
        deflate.serverMaximumWindowBits = 10
        deflate.clientMaximumWindowBits = 12
        #expect(
            deflate.offer
                == "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; client_max_window_bits=12"
        )
        let parsed = try #require(ExtensionOffer.parse([answer])?.first)
        #expect((deflate.confirm(parsed) != nil) == isAccepted)
    }

    @Test func eachSideUnderstandsTheOther() throws {
        for serverBits in [8, 9, 12, 15] {
            for clientBits in [8, 9, 12, 15] {
                for flags in 0..<16 {
                    var client = PerMessageDeflate()
                    client.serverMaximumWindowBits = serverBits
                    client.serverNoContextTakeover = flags & 1 != 0
                    client.clientNoContextTakeover = flags & 2 != 0
                    var server = PerMessageDeflate()
                    server.clientMaximumWindowBits = clientBits
                    server.serverNoContextTakeover = flags & 4 != 0
                    server.clientNoContextTakeover = flags & 8 != 0
                    let offers = try #require(ExtensionOffer.parse([client.offer]))
                    let accepted = try #require(server.accept(offers))
                    let answer = try #require(ExtensionOffer.parse([accepted.answer])?.first)
                    #expect(client.confirm(answer) == accepted.negotiated)
                }
            }
        }
    }
}
