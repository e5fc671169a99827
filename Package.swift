// swift-tools-version: 6.1
import PackageDescription

var settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

// Scripts/sanitize sets it: see PthreadMutex, whose module not all who use it import.
if Context.environment["CROSSSERVER_PTHREAD_LOCKS"] != nil {
    settings.append(.define("PTHREAD_LOCKS"))
} else {
    settings.append(.enableUpcomingFeature("MemberImportVisibility"))
}

let package = Package(
    name: "cross-server",
    platforms: [.macOS(.v15), .iOS(.v18)],
    products: [
        .library(name: "CrossServer", targets: ["CrossServer"]),
        .library(name: "CrossServerBus", targets: ["CrossServerBus"]),
        .library(name: "CrossServerClient", targets: ["CrossServerClient"]),
        .library(name: "CrossServerHummingbird", targets: ["CrossServerHummingbird"]),
        .library(name: "CrossServerRESP", targets: ["CrossServerRESP"]),
        .library(name: "CrossServerRedis", targets: ["CrossServerRedis"]),
        .library(name: "CrossServerTesting", targets: ["CrossServerTesting"]),
        .library(name: "CrossServerWebSocket", targets: ["CrossServerWebSocket"]),
        .library(name: "CrossServerWire", targets: ["CrossServerWire"]),
        .executable(name: "crossserver", targets: ["CrossServerCommand"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        .target(name: "CCrossServerMemory"),
        .target(name: "CCrossServerZlib", linkerSettings: [.linkedLibrary("z")]),
        .target(
            name: "CrossServerWire",
            dependencies: [
                .product(name: "NIOCore", package: "swift-nio")
            ],
            swiftSettings: settings
        ),
        .target(
            name: "CrossServerWebSocket",
            dependencies: [
                "CCrossServerZlib",
                "CrossServerWire",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "CrossServerTLS",
            dependencies: [
                .product(name: "NIOSSL", package: "swift-nio-ssl")
            ],
            swiftSettings: settings
        ),
        .target(
            name: "CrossServerRESP",
            dependencies: [
                .product(name: "NIOCore", package: "swift-nio")
            ],
            swiftSettings: settings
        ),
        .target(
            name: "CrossServerBus",
            dependencies: [
                "CrossServerWire",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "CrossServerRedis",
            dependencies: [
                "CrossServerBus",
                "CrossServerRESP",
                "CrossServerTLS",
                "CrossServerWire",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "CrossServer",
            dependencies: [
                "CCrossServerMemory",
                "CrossServerBus",
                "CrossServerTLS",
                "CrossServerWebSocket",
                "CrossServerWire",
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "CrossServerClient",
            dependencies: [
                "CrossServerTLS",
                "CrossServerWebSocket",
                "CrossServerWire",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "CrossServerHummingbird",
            dependencies: [
                "CrossServer",
                "CrossServerWebSocket",
                "CrossServerWire",
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "CrossServerTesting",
            dependencies: [
                "CrossServer",
                "CrossServerWebSocket",
                "CrossServerWire",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "CrossServerPage",
            path: "Clients",
            exclude: [
                "conformance", "javascript/README.md", "javascript/package.json", "javascript/test",
                "javascript/websocket-connector.d.mts", "javascript/websocket-connector.d.ts",
                "javascript/websocket-connector.mjs",
            ],
            sources: ["page/PageFiles.swift"],
            resources: [
                .embedInCode("javascript/websocket-connector.js"),
                .embedInCode("page/client.js"),
                .embedInCode("page/cluster.js"),
                .embedInCode("page/conversation.js"),
                .embedInCode("page/dom.js"),
                .embedInCode("page/index.html"),
                .embedInCode("page/page.js"),
                .embedInCode("page/style.css"),
            ],
            swiftSettings: settings
        ),
        .executableTarget(
            name: "CrossServerCommand",
            dependencies: [
                "CrossServer",
                "CrossServerBus",
                "CrossServerClient",
                "CrossServerHummingbird",
                "CrossServerPage",
                "CrossServerRedis",
                "CrossServerTLS",
                "CrossServerWire",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HummingbirdTLS", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings
        ),
        .testTarget(name: "CrossServerWireTests", dependencies: ["CrossServerWire"], swiftSettings: settings),
        .testTarget(name: "CrossServerRESPTests", dependencies: ["CrossServerRESP"], swiftSettings: settings),
        .testTarget(
            name: "CrossServerBusTests",
            dependencies: ["CrossServerBus", "ClusterSimulator"],
            swiftSettings: settings
        ),
        .target(
            name: "ClusterSimulator",
            dependencies: [
                "CrossServerBus",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            path: "Tests/ClusterSimulator",
            swiftSettings: settings
        ),
        .executableTarget(
            name: "Simulate",
            dependencies: ["ClusterSimulator"],
            path: "Tests/Simulate",
            swiftSettings: settings
        ),
        .executableTarget(
            name: "FaultLoad",
            dependencies: [
                "CrossServer",
                "CrossServerBus",
                "CrossServerClient",
                "CrossServerRedis",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            path: "Tests/FaultLoad",
            swiftSettings: settings
        ),
        .testTarget(
            name: "CrossServerRedisTests",
            dependencies: [
                "CrossServer",
                "CrossServerRedis",
                "CrossServerTesting",
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "CrossServerWebSocketTests",
            dependencies: [
                "CrossServerWebSocket",
                .product(name: "NIOEmbedded", package: "swift-nio"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "CrossServerTests",
            dependencies: [
                "CrossServer",
                "CrossServerTesting",
                "CrossServerWire",
                .product(name: "MetricsTestKit", package: "swift-metrics"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "CrossServerClientTests",
            dependencies: [
                "CrossServer",
                "CrossServerClient",
                "CrossServerTesting",
                "CrossServerWire",
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "ServiceLifecycleTestKit", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "CrossServerHummingbirdTests",
            dependencies: [
                "CrossServer",
                "CrossServerBus",
                "CrossServerHummingbird",
                "CrossServerTesting",
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings
        ),
        .executableTarget(
            name: "ConformancePeer",
            dependencies: [
                "CrossServer",
                "CrossServerWebSocket",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            path: "Tests/ConformancePeer",
            swiftSettings: settings
        ),
        .testTarget(
            name: "CrossServerCommandTests",
            dependencies: ["ConformancePeer", "CrossServerClient", "CrossServerCommand", "FaultLoad"],
            swiftSettings: settings
        ),
        // Attacks in a small form; Scripts/attack has the large one. The helpers are where the other tests of the part are.
        .testTarget(
            name: "Hostile",
            dependencies: [
                "CrossServer",
                "CrossServerBus",
                "CrossServerBusTests",
                "CrossServerCommand",
                "CrossServerCommandTests",
                "CrossServerHummingbird",
                "CrossServerHummingbirdTests",
                "CrossServerRESP",
                "CrossServerRedis",
                "CrossServerRedisTests",
                "CrossServerTesting",
                "CrossServerWebSocket",
                "CrossServerWebSocketTests",
                "CrossServerWire",
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "MetricsTestKit", package: "swift-metrics"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            path: "Tests/Hostile",
            swiftSettings: settings
        ),
    ]
)
