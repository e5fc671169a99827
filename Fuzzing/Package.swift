// swift-tools-version: 6.1
import PackageDescription

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

/// A program whose main function is libFuzzer's.
func fuzzer(_ name: String) -> Target {
    .executableTarget(
        name: name,
        dependencies: [
            "FuzzSupport",
            .product(name: "CrossServerRESP", package: "cross-server"),
            .product(name: "CrossServerWebSocket", package: "cross-server"),
            .product(name: "CrossServerWire", package: "cross-server"),
            .product(name: "HTTPTypes", package: "swift-http-types"),
            .product(name: "NIOCore", package: "swift-nio"),
        ],
        swiftSettings: settings + [.unsafeFlags(["-parse-as-library"])]
    )
}

let package = Package(
    name: "cross-server-fuzzing",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "cross-server", path: ".."),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    ],
    targets: [
        .target(
            name: "FuzzSupport",
            dependencies: [
                .product(name: "CrossServerWebSocket", package: "cross-server"),
                .product(name: "CrossServerWire", package: "cross-server"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            swiftSettings: settings
        ),
        fuzzer("FuzzFrameDecoder"),
        fuzzer("FuzzDeflate"),
        fuzzer("FuzzHandshake"),
        fuzzer("FuzzEnvelope"),
        fuzzer("FuzzMessagePack"),
        fuzzer("FuzzBusMessage"),
        fuzzer("FuzzRESP"),
    ]
)
