// `[pressure]` of `agent.toml`.

/// `[pressure]`: what the host runs short of, and what its sensors say.
public struct PressureOptions: Hashable, Sendable {
    public var enabled = true
    /// How often processors, memory and input/output are looked at.
    public var pollEvery: Duration = .seconds(1)
    /// How often temperatures, fans and memory errors are.
    public var sensorsEvery: Duration = .seconds(5)
    /// The share of the last 10 s in which some task waited for a processor.
    public var cpuStall = LimitOptions(warning: 0.9, dwell: .seconds(60))
    /// The share of the last 10 s in which every task waited for memory.
    public var memoryStall = LimitOptions(warning: 0.1, critical: 0.4, dwell: .seconds(5))
    /// The share of the last 10 s in which every task waited for input or output.
    public var ioStall = LimitOptions(warning: 0.6, dwell: .seconds(60))
    /// Runnable tasks per processor, averaged over a minute.
    public var load = LimitOptions(warning: 4, dwell: .seconds(60))
    /// The share of memory that can be had without swapping; little is bad.
    public var memoryAvailable = LimitOptions(warning: 0.1, critical: 0.03, dwell: .seconds(5))
    /// The share of swap that is in use.
    public var swapUsed = LimitOptions(warning: 0.8, dwell: .seconds(30))
    /// In degrees Celsius, for all sensors; without levels each sensor's own `max` and `crit` hold.
    public var temperature = LimitOptions(dwell: .seconds(10))
    /// Errors of memory in the last hour that were corrected. Any that was not is critical.
    public var correctedErrors = LimitOptions(warning: 10)

    public init() {}
}

extension Section where Options == PressureOptions {
    static var pressure: Section {
        Section(keys: [
            .value("enabled", \.enabled, Rules.flag),
            .value("poll_every", \.pollEvery, Rules.duration(.milliseconds(100), .seconds(3600))),
            .value("sensors_every", \.sensorsEvery, Rules.duration(.milliseconds(100), .seconds(3600))),
            .limit("cpu_stall", \.cpuStall, .above, 0...1),
            .limit("memory_stall", \.memoryStall, .above, 0...1),
            .limit("io_stall", \.ioStall, .above, 0...1),
            .limit("load", \.load, .above, 0...10000),
            .limit("memory_available", \.memoryAvailable, .below, 0...1),
            .limit("swap_used", \.swapUsed, .above, 0...1),
            .limit("temperature", \.temperature, .above, -50...200),
            .limit("corrected_errors", \.correctedErrors, .above, 1...1_000_000_000),
        ])
    }
}
