import CrossServerRedis
import Testing

@Suite struct RedisNodeTests {
    struct Good: Sendable, CustomTestStringConvertible {
        var url: String
        var endpoint: RedisNode.Endpoint
        var credentials: RedisCredentials?
        var database = 0
        var isSecure = false
        var testDescription: String { self.url }
    }

    @Test(arguments: [
        Good(url: "localhost", endpoint: .server(.tcp(host: "localhost", port: 6379))),
        Good(url: "10.0.0.5:7000", endpoint: .server(.tcp(host: "10.0.0.5", port: 7000))),
        Good(url: "[::1]:7000", endpoint: .server(.tcp(host: "::1", port: 7000))),
        Good(url: "redis://h", endpoint: .server(.tcp(host: "h", port: 6379))),
        Good(url: "REDIS://h:1/", endpoint: .server(.tcp(host: "h", port: 1))),
        Good(url: "redis://h/15", endpoint: .server(.tcp(host: "h", port: 6379)), database: 15),
        Good(url: "redis://h?db=3", endpoint: .server(.tcp(host: "h", port: 6379)), database: 3),
        Good(
            url: "redis://:pw@h",
            endpoint: .server(.tcp(host: "h", port: 6379)),
            credentials: RedisCredentials(password: "pw")
        ),
        Good(
            url: "rediss://joe:p%40:/@x@h:6380/2",
            endpoint: .server(.tcp(host: "h", port: 6380)),
            credentials: RedisCredentials(user: "joe", password: "p@:/@x"),
            database: 2,
            isSecure: true
        ),
        Good(url: "unix:///run/redis.sock?db=4", endpoint: .server(.unixSocket(path: "/run/redis.sock")), database: 4),
        Good(
            url: "unix://:pw@/tmp/a%20b",
            endpoint: .server(.unixSocket(path: "/tmp/a b")),
            credentials: RedisCredentials(password: "pw")
        ),
        Good(
            url: "redis-sentinel://:pw@a,b:1/mymaster/5",
            endpoint: .sentinel(
                master: "mymaster",
                sentinels: [.tcp(host: "a", port: 26_379), .tcp(host: "b", port: 1)]
            ),
            credentials: RedisCredentials(password: "pw"),
            database: 5
        ),
        Good(
            url: "rediss-cluster://a:1,[::2]:3",
            endpoint: .cluster([.tcp(host: "a", port: 1), .tcp(host: "::2", port: 3)]),
            isSecure: true
        ),
    ])
    func urls(_ good: Good) async throws {
        let node = try RedisNode(good.url)
        #expect(node.endpoint == good.endpoint)
        #expect(try await node.credentials?() == good.credentials)
        #expect(node.database == good.database)
        #expect((node.tls != nil) == good.isSecure)
        #expect(!node.name.contains("pw"))
    }

    @Test func parameters() async throws {
        let node = try RedisNode(
            "redis-sentinel://h/m?name=ours&timeout=250&keepalive=false&sentinelUser=u&sentinelPassword=s%20p&db=1"
        )
        #expect(node.connectionName == "ours")
        #expect(node.connectTimeout == .milliseconds(250))
        #expect(!node.keepAlive)
        #expect(try await node.sentinelCredentials?() == RedisCredentials(user: "u", password: "s p"))
        #expect(node.credentials == nil)
        #expect(node.database == 1)
    }

    @Test(arguments: [
        ("", "empty"), ("http://:SECRET@h", "scheme"), ("redis://", "host is missing"),
        ("redis://:SECRET@", "host is missing"), ("redis://u:SECRET@h:SECRET", "port"), ("redis://h:0", "port"),
        ("redis://h:65536", "port"), ("redis://h:-1", "port"), ("redis://h:", "port"), ("h:SECRET", "port"),
        ("redis://SECRET@h", "':password@'"), ("redis://u:@h", "password is empty"), ("redis://u:SECRET%zz@h", "%"),
        ("redis://u:SECRET%ff@h", "UTF-8"), ("redis://u:SEC#RET@h", "%23"), ("redis://u:SEC RET@h", "space"),
        ("redis://u:SECRET@h/x", "database"), ("redis://u:SECRET@h/-1", "database"), ("redis://[::1", "bracket"),
        ("redis://[SECRET]", "IPv6"), ("redis://h$SECRET", "host"), ("redis://a,b", "redis-cluster"),
        ("redis://:SECRET@h?x=SECRET", "unknown parameter"), ("redis://h?timeout=SECRET", "timeout"),
        ("redis://h?keepalive=SECRET", "keepalive"), ("redis://h?ca=SECRET", "TLS"),
        ("redis://h?sentinelPassword=SECRET", "unknown parameter"), ("rediss://h?cert=SECRET", "cert and key"),
        ("rediss://h?ca=/nowhere/ca.crt", "cannot be read"), ("unix://", "absolute path"),
        ("unix://SECRET/path", "no host"), ("redis-sentinel://:SECRET@h", "master"),
        ("redis-sentinel://h/m?sentinelUser=SECRET", "sentinelPassword"), ("redis-cluster://h/1", "database"),
        ("redis://h?name=a%20SECRET", "connection name"),
    ])
    func wrongURLs(url: String, problem: String) {
        let error = #expect(throws: BusError.self) { try RedisNode(url) }
        #expect(error?.code == .invalidConfiguration)
        #expect(error?.message.contains(problem) == true, "\(error?.message ?? "")")
        #expect(error?.message.contains("SECRET") == false, "\(error?.message ?? "")")
    }
}
