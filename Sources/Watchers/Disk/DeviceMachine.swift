// One block device: whether it is there, how long it takes and how busy it is, and, of an array, whether its members
// are. A value: counters in, findings out.
import Basics
import Configuration
import Detection
import Wire

/// The state of one disk or array.
struct DeviceMachine: Sendable {
    /// What it did in the time between two readings.
    private struct Activity: Hashable {
        /// `nil`: nothing was asked of it.
        var latency: Double?
        var utilisation: Double
        var readsPerSecond: Double
        var writesPerSecond: Double
        var readBytesPerSecond: Double
        var writtenBytesPerSecond: Double
    }

    let subject: Subject
    private var options: DiskOptions
    private var latency: Limit
    private var utilisation: Limit
    private var last: (statistics: DiskStatistics, at: Instant)?
    /// When something was last completed, or nothing was left to do.
    private var progressAt: Instant?
    private var activity: Activity?
    private var array: MDArray?
    private var trouble: DiskProblem? = DiskProblem(.unknown, "not read yet")
    private var dependsOn: [Subject] = []
    private var told: [DiskProblem]?
    private var toldLatency: Double?

    init(_ subject: Subject, _ options: DiskOptions) {
        self.subject = subject
        self.options = options
        latency = Limit(.above, options.latency)
        utilisation = Limit(.above, options.utilisation)
    }

    /// Takes other options over; what they do not change keeps its state.
    mutating func reconfigure(_ new: DiskOptions, at now: Instant) -> Finding? {
        if new.latency != options.latency { latency = Limit(.above, new.latency) }
        if new.utilisation != options.utilisation { utilisation = Limit(.above, new.utilisation) }
        options = new
        return tell(at: now)
    }

    // MARK: - Events

    /// Its counters, and what the kernel says of it as an array.
    mutating func read(
        _ statistics: DiskStatistics, array: MDArray?, dependsOn: [Subject], at now: Instant
    ) -> Finding? {
        trouble = nil
        (self.array, self.dependsOn) = (array, dependsOn)
        measure(statistics, now)
        last = (statistics, now)
        return tell(at: now)
    }

    /// It is no longer there.
    ///
    /// - Parameter why: what needs it: `mounted on /data`, `configured`.
    mutating func gone(_ why: String, at now: Instant) -> Finding? {
        forget()
        trouble = DiskProblem(.critical, "gone, and \(why)")
        return tell(at: now)
    }

    /// Its counters cannot be read.
    mutating func unreadable(_ reason: String, at now: Instant) -> Finding? {
        forget()
        trouble = DiskProblem(.unknown, reason)
        return tell(at: now)
    }

    /// Time passed.
    mutating func tick(at now: Instant) -> Finding? {
        _ = latency.passed(now)
        _ = utilisation.passed(now)
        return tell(at: now)
    }

    /// When the finding may change by time alone.
    var deadline: Instant? { [latency.deadline, utilisation.deadline].compactMap(\.self).min() }

    private mutating func forget() {
        (last, progressAt, activity, array) = (nil, nil, nil, nil)
        latency.reset()
        utilisation.reset()
    }

    private mutating func measure(_ new: DiskStatistics, _ now: Instant) {
        guard let last, now > last.at, DeviceMachine.hasGrown(last.statistics, new) else {
            // The first reading, or another device of the same name.
            (activity, progressAt) = (nil, now)
            return
        }
        let old = last.statistics
        let seconds = (now - last.at).inSeconds
        let done = Double(new.reads - old.reads) + Double(new.writes - old.writes)
        let took =
            Double(new.readMilliseconds - old.readMilliseconds)
            + Double(new.writeMilliseconds - old.writeMilliseconds)
        // Discards and flushes are in flight like reads and writes, and are progress; how long they take is no latency.
        let isOtherDone = new.discards > old.discards || new.flushes > old.flushes
        if done > 0 || isOtherDone || new.inFlight == 0 { progressAt = now }
        // What is not done yet counts with its age so far: a device that hangs completes nothing.
        let waiting = progressAt.map { (now - $0).inSeconds } ?? 0
        let completed = done > 0 ? took / 1000 / done : nil
        let latencyNow = waiting > 0 ? max(completed ?? 0, waiting) : completed
        let busy = Double(new.busyMilliseconds - old.busyMilliseconds) / 1000 / seconds
        activity = Activity(
            latency: latencyNow, utilisation: min(busy, 1),
            readsPerSecond: Double(new.reads - old.reads) / seconds,
            writesPerSecond: Double(new.writes - old.writes) / seconds,
            readBytesPerSecond: Double(new.readSectors - old.readSectors) * DiskStatistics.sectorBytes
                / seconds,
            writtenBytesPerSecond: Double(new.writtenSectors - old.writtenSectors)
                * DiskStatistics.sectorBytes / seconds)
        // A device that has nothing to do is as fast as it ever was.
        _ = latency.observed(latencyNow ?? 0, at: now)
        _ = utilisation.observed(min(busy, 1), at: now)
    }

    /// A counter that goes back is a reset, never a wrap.
    private static func hasGrown(_ old: DiskStatistics, _ new: DiskStatistics) -> Bool {
        new.reads >= old.reads && new.writes >= old.writes && new.readSectors >= old.readSectors
            && new.writtenSectors >= old.writtenSectors && new.readMilliseconds >= old.readMilliseconds
            && new.writeMilliseconds >= old.writeMilliseconds && new.busyMilliseconds >= old.busyMilliseconds
            && new.discards >= old.discards && new.flushes >= old.flushes
    }
}

// MARK: - Judging

extension DeviceMachine {
    private mutating func tell(at now: Instant) -> Finding? {
        let problems = problems().worstFirst
        guard problems != told else { return nil }
        told = problems
        return finding
    }

    /// What was told last, with the values of now.
    var finding: Finding {
        Finding(
            subject, told?.status ?? .unknown, told?.reason ?? "not read yet", values: values,
            dependsOn: dependsOn)
    }

    private mutating func problems() -> [DiskProblem] {
        if let trouble { return [trouble] }
        var found = array.map(DeviceMachine.problems) ?? []
        if latency.status == .ok {
            toldLatency = nil
        } else {
            let value = activity?.latency ?? toldLatency ?? 0
            if toldLatency.map({ value < $0 / 2 || value > $0 * 2 }) ?? true { toldLatency = value }
            found.append(.init(latency.status, "a request takes \(time(toldLatency ?? value))"))
        }
        if utilisation.status != .ok { found.append(.init(utilisation.status, "busy almost all the time")) }
        return found.isEmpty ? [.init(.ok, quiet)] : found
    }

    private var quiet: String {
        guard let array else { return "working" }
        let members = array.wanted.map { ", all \($0) members" } ?? ""
        let doing = array.operation.map { ", \($0.rawValue)" } ?? ""
        return "\(array.level)\(members)\(doing)"
    }

    private static func problems(_ array: MDArray) -> [DiskProblem] {
        guard array.isActive else { return [.init(.critical, "the array is not active")] }
        var found: [DiskProblem] = []
        if array.missing > 0 {
            let lack = "\(array.working ?? 0) of \(array.wanted ?? 0) members"
            if array.operation == .recovery {
                found.append(.init(.warning, "\(lack), being rebuilt"))
            } else if array.isWithoutRedundancy {
                found.append(
                    .init(.critical, "\(lack): the next failure loses data; replace the missing one"))
            } else {
                found.append(.init(.warning, "\(lack); replace the missing one"))
            }
        } else if array.operation == .resync {
            found.append(.init(.warning, "its members are being made alike again"))
        }
        if !array.failed.isEmpty {
            let names = array.failed.prefix(4).joined(separator: ", ")
            found.append(.init(.warning, "failed: \(names)"))
        }
        return found
    }

    private func time(_ value: Double) -> String {
        value < 1 ? "\(Int64((value * 1000).rounded())) ms" : seconds(.ofSeconds(value))
    }
}

// MARK: - Values

extension DeviceMachine {
    /// What is published beside the status.
    var values: [NamedValue] {
        var values: [NamedValue] = []
        if let activity {
            if let latency = activity.latency { values.append(NamedValue("latency_s", .number(latency))) }
            values += [
                NamedValue("utilisation_ratio", .number(activity.utilisation)),
                NamedValue("reads_per_s", .number(activity.readsPerSecond)),
                NamedValue("writes_per_s", .number(activity.writesPerSecond)),
                NamedValue("read_bytes_per_s", .number(activity.readBytesPerSecond)),
                NamedValue("written_bytes_per_s", .number(activity.writtenBytesPerSecond)),
            ]
        }
        if let inFlight = last?.statistics.inFlight {
            values.append(NamedValue("in_flight", .integer(Int64(clamping: inFlight))))
        }
        if let array { values += DeviceMachine.values(array) }
        return values
    }

    private static func values(_ array: MDArray) -> [NamedValue] {
        var values: [NamedValue] = []
        if let wanted = array.wanted, let working = array.working {
            values.append(NamedValue("members", .integer(Int64(wanted))))
            values.append(NamedValue("working_members", .integer(Int64(working))))
        }
        values.append(NamedValue("failed_members", .integer(Int64(array.failed.count))))
        if let operation = array.operation {
            values.append(NamedValue("operation", .text(operation.rawValue)))
        }
        if let progress = array.progress { values.append(NamedValue("progress_ratio", .number(progress))) }
        return values
    }
}
