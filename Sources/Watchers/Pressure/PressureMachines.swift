// The gauges of processors, memory, and input and output, and how files become their measurements.
import Basics
import Configuration
import Detection
import Wire

enum PressureMachines {
    // MARK: - Subjects

    static func cpu(_ options: PressureOptions, stalls: Bool) -> GaugeMachine {
        let load = Gauge("load_per_cpu", Limit(.above, options.load)) {
            "\(tenths($0)) runnable tasks per processor"
        }
        let stall = Gauge("some_ratio", Limit(.above, options.cpuStall)) {
            "tasks wait for a processor \(percent($0)) of the time"
        }
        return GaugeMachine(
            Subject(.pressure, "cpu"), fine: "enough processor time", stalls ? [load, stall] : [load])
    }

    static func memory(_ options: PressureOptions, stalls: Bool) -> GaugeMachine {
        let available = Gauge("available_ratio", Limit(.below, options.memoryAvailable)) {
            "\(percent($0)) of memory is available"
        }
        let swap = Gauge("swap_used_ratio", Limit(.above, options.swapUsed)) {
            "\(percent($0)) of swap is used"
        }
        let stall = Gauge("full_ratio", Limit(.above, options.memoryStall)) {
            "all tasks wait for memory \(percent($0)) of the time"
        }
        return GaugeMachine(
            Subject(.pressure, "memory"), fine: "enough memory",
            stalls ? [available, swap, stall] : [available, swap])
    }

    static func io(_ options: PressureOptions) -> GaugeMachine {
        GaugeMachine(
            Subject(.pressure, "io"), fine: "input and output keep up",
            [
                Gauge("full_ratio", Limit(.above, options.ioStall)) {
                    "all tasks wait for input or output \(percent($0)) of the time"
                }
            ])
    }

    // MARK: - Measurements

    static func measured(_ load: LoadAverage?, processors: Int?, stall: PressureStall?) -> [String: Double] {
        var values: [String: Double] = [:]
        if let first = load?.averages.first, let processors {
            values["load_per_cpu"] = first / Double(max(1, processors))
        }
        values["some_ratio"] = stall?.some
        return values
    }

    static func others(_ load: LoadAverage?) -> [NamedValue] {
        zip(["load1", "load5", "load15"], load?.averages ?? []).map { NamedValue($0, .number($1)) }
    }

    static func measured(_ memory: MemoryState?, stall: PressureStall?) -> [String: Double] {
        var values: [String: Double] = [:]
        if let memory {
            if let available = memory.available {
                values["available_ratio"] = ratio(available, of: memory.total)
            }
            if memory.swapTotal > 0 {
                values["swap_used_ratio"] = ratio(memory.swapTotal &- memory.swapFree, of: memory.swapTotal)
            }
        }
        values["full_ratio"] = stall?.full ?? stall.map { _ in 0 }
        return values
    }

    static func others(_ memory: MemoryState?, stall: PressureStall?) -> [NamedValue] {
        var values: [NamedValue] = []
        if let memory {
            values.append(NamedValue("total_bytes", .integer(memory.total)))
            if let available = memory.available {
                values.append(NamedValue("available_bytes", .integer(available)))
            }
            let used = max(0, memory.swapTotal &- memory.swapFree)
            values.append(NamedValue("swap_used_bytes", .integer(used)))
        }
        if let stall { values.append(NamedValue("some_ratio", .number(stall.some))) }
        return values
    }

    static func measured(io stall: PressureStall?) -> [String: Double] {
        stall.map { ["full_ratio": $0.full ?? 0] } ?? [:]
    }

    private static func ratio(_ part: Int64, of whole: Int64) -> Double {
        min(max(Double(part) / Double(whole), 0), 1)
    }

    private static func tenths(_ value: Double) -> String {
        let tenths = Int64((min(max(value, 0), 1e6) * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }
}
