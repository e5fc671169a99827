// swift-tools-version: 6.1
import PackageDescription

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
            swiftSettings: [
                .swiftLanguageMode(.v6),
                .enableUpcomingFeature("ExistentialAny"),
                .enableUpcomingFeature("MemberImportVisibility"),
                .enableUpcomingFeature("InternalImportsByDefault"),
            ],
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]
        ),
    ]
)
