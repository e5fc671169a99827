// swift-tools-version: 6.1
import PackageDescription

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

let package = Package(
    name: "cross-server-benchmarks",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "cross-server", path: ".."),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        // Without its own counter of allocations, which needs jemalloc or a preloaded library: see CMallocCounter.
        .package(url: "https://github.com/ordo-one/benchmark", from: "1.38.1", traits: []),
    ],
    targets: [
        .executableTarget(
            name: "BusLoad",
            dependencies: [
                .product(name: "CrossServer", package: "cross-server"),
                .product(name: "CrossServerRedis", package: "cross-server"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings
        ),
        .executableTarget(
            name: "ClusterCost",
            dependencies: [
                .product(name: "CrossServer", package: "cross-server"),
                .product(name: "CrossServerBus", package: "cross-server"),
                .product(name: "CrossServerTesting", package: "cross-server"),
                .product(name: "CrossServerWire", package: "cross-server"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings
        ),
        .target(name: "CMallocCounter"),
        .executableTarget(
            name: "CrossServerBenchmarks",
            dependencies: [
                "CMallocCounter",
                .product(name: "Benchmark", package: "benchmark"),
                .product(name: "CrossServer", package: "cross-server"),
                .product(name: "CrossServerWebSocket", package: "cross-server"),
                .product(name: "CrossServerWire", package: "cross-server"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
            ],
            path: "Benchmarks/CrossServerBenchmarks",
            swiftSettings: settings,
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]
        ),
    ]
)
