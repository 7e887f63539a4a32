// `[disk]` and `[[disk.probe]]` of `agent.toml`.

/// `[disk]`: file systems, disks and arrays.
public struct DiskOptions: Hashable, Sendable {
    public var enabled = true
    /// Watch each local file system on a block device, and the disks and arrays below it.
    public var discover = true
    /// Mount points, with `*` as a wildcard, that are watched besides, of any type; one without a wildcard must be
    /// mounted.
    public var include: [String] = []
    /// Mount points, with `*` as a wildcard, that are never watched.
    public var exclude: [String] = []
    /// Block devices by the kernel's names that must be there: `nvme0n1`.
    public var devices: [String] = []
    /// How often file systems are asked; disks are read once a second at most.
    public var pollEvery: Duration = .milliseconds(500)
    /// A file system that does not answer for so long is critical.
    public var hangAfter: Duration = .milliseconds(1400)
    /// Over the used share of space, as df(1) counts it.
    public var space = LimitOptions(warning: 0.9, critical: 0.95)
    /// Over the used share of inodes.
    public var inodes = LimitOptions(warning: 0.9, critical: 0.95)
    /// Over the hours until it is full, if it goes on like this.
    public var fullInHours = LimitOptions(warning: 24, critical: 4, dwell: .seconds(300))
    /// How far back growth is looked at.
    public var forecastWindow: Duration = .seconds(1800)
    /// Over the seconds that a request takes.
    public var latency = LimitOptions(warning: 0.2, critical: 2, dwell: .seconds(10))
    /// Over the share of time in which a device has requests.
    public var utilisation = LimitOptions(dwell: .seconds(60))
    /// `[[disk.probe]]`.
    public var probes: [DiskProbeOptions] = []

    public init() {}
}

/// One `[[disk.probe]]`: a small write that must reach the disk in time.
public struct DiskProbeOptions: Hashable, Sendable {
    public var name: String
    /// Where it is written.
    public var folder = "/var/lib/holdfast"
    public var every: Duration = .seconds(10)
    /// Over the seconds that the write takes.
    public var latency = LimitOptions(warning: 0.1, critical: 1)

    public init(name: String) { self.name = name }
}

extension Section where Options == DiskOptions {
    static var disk: Section {
        Section(
            keys: [
                .value("enabled", \.enabled, Rules.flag),
                .value("discover", \.discover, Rules.flag),
                .value("include", \.include, Rules.list(0...64, of: Rules.mountPoint)),
                .value("exclude", \.exclude, Rules.list(0...64, of: Rules.mountPoint)),
                .value("devices", \.devices, Rules.list(0...32, of: Rules.blockDevice)),
                .value("poll_every", \.pollEvery, Rules.duration(.milliseconds(100), .seconds(60))),
                .value("hang_after", \.hangAfter, Rules.duration(.milliseconds(200), .seconds(3600))),
                .limit("space", \.space, .above, 0...1),
                .limit("inodes", \.inodes, .above, 0...1),
                .limit("full_in_hours", \.fullInHours, .below, 0...87600),
                .value("forecast_window", \.forecastWindow, Rules.duration(.seconds(5), .seconds(86400))),
                .limit("latency", \.latency, .above, 0...3600),
                .limit("utilisation", \.utilisation, .above, 0...1),
                .tables("probe", \.probes, upTo: 8, .diskProbe, empty: DiskProbeOptions(name: "")) {
                    probe, _ in probe
                },
            ],
            check: { disk, place in
                refuseDuplicates(disk.probes.map(\.name), of: "probes", at: place.key("probe"))
            })
    }
}

extension Section where Options == DiskProbeOptions {
    static var diskProbe: Section {
        Section(keys: [
            .value("name", \.name, required: true, Rules.name),
            .value("folder", \.folder, Rules.file),
            .value("every", \.every, Rules.duration(.milliseconds(100), .seconds(3600))),
            .limit("latency", \.latency, .above, 0...3600),
        ])
    }
}

extension Rules {
    /// An absolute path, in which `*` stands for any characters.
    static let mountPoint = text("must be a mount point, such as \"/data\" or \"/srv/*\"") { text in
        (text.hasPrefix("/") || text.hasPrefix("*")) && (1...255).contains(text.utf8.count)
            && !text.unicodeScalars.contains { $0.value < 0x20 } && (text == "/" || !text.hasSuffix("/"))
    }

    /// The kernel's name of a block device.
    static let blockDevice = text("must be a block device as in /sys/class/block, such as \"nvme0n1\"") {
        text in
        isName(text) && text != "." && text != ".."
    }
}
