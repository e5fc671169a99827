import CrossServer
import Testing

@Suite struct RequestParameterTests {
    @Test(
        arguments: [
            ("/?id=7&name=Sam+%C3%A9%26&arr=1%2C2", ["id": ["7"], "name": ["Sam é&"], "arr": ["1,2"]]),
            ("/?a=&a=1", ["a": ["", "1"]]),
            ("/?a&b=", ["a": [""], "b": [""]]),
            ("/?constructor=1&__proto__=2", ["constructor": ["1"], "__proto__": ["2"]]),
            ("/?x=%ff&y=%zz&z=%4", ["x": ["\u{FFFD}"], "y": ["%zz"], "z": ["%4"]]),
            ("/?s=%+5&t=%-1", ["s": ["% 5"], "t": ["%-1"]]),
            ("/?a=1=2&&", ["a": ["1=2"]]),
            ("/?a=1#b=2", ["a": ["1"]]),
            ("/", [:]),
            ("/?", [:]),
            ("ws://host/p?a=1", ["a": ["1"]]),
        ] as [(String, [String: [String]])]
    )
    func parameters(target: String, expected: [String: [String]]) {
        let parameters = UpgradeRequest(target: target).parameters
        #expect(parameters.keys == Set(expected.keys))
        for (key, values) in expected {
            #expect(parameters.all(key) == values)
            #expect(parameters[key] == values.first)
        }
        #expect(parameters["none"] == nil)
    }

    @Test func keysMayBeLowercased() {
        let request = UpgradeRequest(target: "/?ID=1&Id=2")
        #expect(request.parameters(lowercasingKeys: true).all("id") == ["1", "2"])
        #expect(request.parameters["id"] == nil)
    }

    @Test(arguments: [("/", ""), ("/chat?id=1", "chat"), ("//a/b", "a/b"), ("/a%20b", "a b")])
    func relativePath(target: String, path: String) {
        #expect(UpgradeRequest(target: target).relativePath == path)
    }
}
