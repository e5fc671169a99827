// swift-tools-version: 6.1
import PackageDescription

let package = Package(
    name: "examples",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "cross-server", path: ".."),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        .executableTarget(
            name: "single-server",
            dependencies: [
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "CrossServer", package: "cross-server"),
            ]
        ),
        .executableTarget(
            name: "single-client",
            dependencies: [
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "CrossServerClient", package: "cross-server"),
            ]
        ),
        .executableTarget(
            name: "cluster-nodes",
            dependencies: [
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "CrossServer", package: "cross-server"),
                .product(name: "CrossServerRedis", package: "cross-server"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]
        ),
        .executableTarget(
            name: "cluster-sender",
            dependencies: [
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "CrossServer", package: "cross-server"),
                .product(name: "CrossServerRedis", package: "cross-server"),
            ]
        ),
        .target(
            name: "Chat",
            dependencies: [
                .product(name: "CrossServerWire", package: "cross-server")
            ]
        ),
        .executableTarget(
            name: "chat-nodes",
            dependencies: [
                "Chat",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "CrossServer", package: "cross-server"),
                .product(name: "CrossServerRedis", package: "cross-server"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]
        ),
        .executableTarget(
            name: "chat-clients",
            dependencies: [
                "Chat",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "CrossServerClient", package: "cross-server"),
            ]
        ),
        .executableTarget(
            name: "chat-control",
            dependencies: [
                "Chat",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "CrossServerClient", package: "cross-server"),
            ]
        ),
        .executableTarget(
            name: "login-service",
            dependencies: [
                "Chat",
                "Recipes",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "CrossServer", package: "cross-server"),
                .product(name: "CrossServerRedis", package: "cross-server"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
            ]
        ),
        .target(
            name: "Recipes",
            dependencies: [
                "Chat",
                .product(name: "CrossServer", package: "cross-server"),
                .product(name: "CrossServerRedis", package: "cross-server"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]
        ),
        .testTarget(
            name: "ExamplesTests",
            dependencies: [
                "Recipes",
                "chat-clients",
                "chat-control",
                "chat-nodes",
                "cluster-nodes",
                "cluster-sender",
                "login-service",
                .product(name: "CrossServer", package: "cross-server"),
                .product(name: "CrossServerRedis", package: "cross-server"),
                .product(name: "CrossServerTesting", package: "cross-server"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]
        ),
    ]
)
