// swift-tools-version: 6.2
// Holdfast: a host health agent and a market-data gateway. The arrows between modules are the
// design's: mains, then Watchers and Gateway, then the pure decision modules, Messaging and
// Configuration, then Wire and Reactor, then Linux, then Basics.
import PackageDescription

let careful: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

let strict: [SwiftSetting] = [.strictMemorySafety()] + careful

// gold drops the parts of Foundation that nothing reaches, symbols for libraries that nobody loads among them;
// other linkers keep them. What is bound at the start cannot be overwritten later.
let daemonLinking: [LinkerSetting] = [
    .unsafeFlags([
        "-use-ld=gold", "-Xlinker", "--gc-sections", "-Xlinker", "--no-export-dynamic",
        "-Xlinker", "-z", "-Xlinker", "now",
    ])
]

let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let deque: Target.Dependency = .product(name: "DequeModule", package: "swift-collections")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

func module(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, exclude: documents(of: name), swiftSettings: strict)
}

func documents(of name: String) -> [String] {
    switch name {
    case "Wire": ["README.md", "reader.py"]
    case "FeedProtocols": ["README.md", "SequencedZeroMQ/README.md"]
    case "FeedJournal": ["README.md"]
    default: []
    }
}

func program(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(
        name: name, dependencies: dependencies, swiftSettings: strict, linkerSettings: daemonLinking)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(
        name: name + "Tests", dependencies: [.target(name: name)] + dependencies, swiftSettings: careful)
}

let package = Package(
    name: "holdfast",
    products: [
        .executable(name: "holdfast", targets: ["holdfast"]),
        .executable(name: "holdfast-agent", targets: ["holdfast-agent"]),
        .executable(name: "holdfast-gateway", targets: ["holdfast-gateway"]),
    ],
    // Exactly these, so that a commit is the same program whenever it is built.
    dependencies: [
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/apple/swift-collections", exact: "1.6.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
    ],
    targets: [
        .target(name: "CLinux"),
        .target(name: "CPcap", linkerSettings: [.linkedLibrary("pcap")]),
        .target(name: "CTOML"),
        .systemLibrary(name: "CCrypto"),
        .systemLibrary(name: "CSodium"),
        .systemLibrary(name: "CSystemd"),
        .systemLibrary(name: "CZeroMQ"),

        module("Basics", []),
        module("Wire", ["Basics"]),
        module("ZMTP", ["Basics", "Wire", "CSodium"]),
        module("Detection", ["Basics", "Wire"]),
        module("Arbitration", ["Basics", "Wire", deque]),
        module("FeedProtocols", ["Basics", "Wire"]),
        module("FeedJournal", ["Basics", "Wire", "CCrypto"]),
        module("Linux", ["Basics", "CLinux", "CPcap", "CSystemd", logging]),
        module("Reactor", ["Basics", "Linux", "CLinux", "CSystemd"]),
        module("Messaging", ["Basics", "Wire", "ZMTP", "Linux", "CLinux", "Reactor", "CZeroMQ", logging]),
        module("Configuration", ["Basics", "Wire", "CTOML"]),
        module("Terminal", ["Basics", "Wire"]),
        module("JournalFiles", ["Basics", "Wire", "Linux", "FeedJournal"]),
        module(
            "Watchers",
            [
                "Basics", "Wire", "Detection", "FeedProtocols", "Linux", "Reactor", "Messaging",
                "Configuration", logging,
            ]),
        module(
            "Gateway",
            [
                "Basics", "Wire", "Detection", "Arbitration", "FeedProtocols", "Linux", "CLinux", "Reactor",
                "Messaging", "Configuration", "FeedJournal", "JournalFiles", deque, logging,
            ]),

        module(
            "Simulation",
            [
                "Basics", "Wire", "Arbitration", "FeedProtocols", "FeedJournal", "Configuration", "Gateway",
            ]),

        module("Daemon", ["Basics", "Wire", "Linux", "Reactor", "Configuration", logging]),

        program("holdfast-agent", ["Wire", "Messaging", "Configuration", "Watchers", "Daemon"]),
        program("holdfast-gateway", ["Wire", "Messaging", "Configuration", "Gateway", "Daemon"]),
        program(
            "holdfast",
            [
                "Basics", "Wire", "FeedProtocols", "Linux", "Reactor", "Messaging", "Configuration",
                "Terminal", "FeedJournal", "JournalFiles", "CLinux", logging, arguments,
            ]),

        // Not installed: what the figures are measured with.
        .target(name: "CAllocations"),
        program(
            "holdfast-bench",
            [
                "Basics", "Wire", "Arbitration", "FeedProtocols", "Linux", "CLinux", "CZeroMQ",
                "CAllocations", "ZMTP",
                arguments,
            ]),
        // Built from source, not installed.
        program("holdfast-simulate", ["Basics", "Linux", "Simulation", arguments]),

        tests("Basics", []),
        tests("Wire", ["Basics"]),
        tests("ZMTP", ["Basics", "Wire"]),
        tests("Detection", ["Basics", "Wire"]),
        tests("Arbitration", ["Basics", "Wire"]),
        tests("FeedProtocols", ["Basics", "Wire"]),
        tests("FeedJournal", ["Basics", "Wire"]),
        tests("JournalFiles", ["Basics", "Wire", "Linux", "FeedJournal"]),
        tests("Linux", ["Basics", logging]),
        tests("Reactor", ["Basics", "Linux"]),
        tests("Messaging", ["Basics", "Wire", "ZMTP", "Linux", "CLinux", "CZeroMQ", "Reactor", logging]),
        tests("Configuration", ["Basics", "Wire"]),
        tests("Terminal", ["Basics", "Wire"]),
        tests(
            "Watchers",
            ["Basics", "Wire", "Detection", "FeedProtocols", "Linux", "Reactor", "Configuration"]),
        tests(
            "Gateway",
            [
                "Basics", "Wire", "Arbitration", "FeedProtocols", "Linux", "Reactor", "Messaging",
                "Configuration", logging,
            ]),
        tests("Simulation", ["Basics"]),
        tests("Daemon", ["Basics", "Wire", "Linux"]),
        .testTarget(name: "TidyTests", swiftSettings: careful),
    ],
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx17
)

// libFuzzer's driver is linked by `Tests/fuzz` only; all else of the targets is compiled and tried with the other tests.
let fuzzed: [Target.Dependency] = [
    "Basics", "Wire", "ZMTP", "FeedProtocols", "FeedJournal", "Configuration", "Watchers", "Arbitration",
    "Gateway",
]
if Context.environment["HOLDFAST_FUZZ"] != nil {
    package.targets += [
        .target(name: "CFuzzer", path: "Tests/CFuzzer"),
        .executableTarget(
            name: "holdfast-fuzz", dependencies: fuzzed + ["CFuzzer"], path: "Tests/holdfast-fuzz",
            exclude: ["SeedTests.swift"], swiftSettings: careful),
    ]
} else {
    package.targets.append(
        .testTarget(
            name: "FuzzTests", dependencies: fuzzed, path: "Tests/holdfast-fuzz", exclude: ["main.swift"],
            swiftSettings: careful))
}
