// What a watched set of processes uses, against its limits. A value: measurements in, the worst limit out.
import Basics
import Configuration
import Detection
import Wire

/// The use of one set, and its limits.
struct ProcessUse: Sendable {
    private(set) var residentBytes: Int64 = 0
    private var threads: Int64 = 0
    private var descriptors: Int64?
    /// Of the process that has the fewest descriptors left.
    private var descriptorRatio: Double?
    private var limits: [(name: Name, limit: Limit)] = []
    /// What is told of each limit that stands, as it was when it was raised: numbers dance.
    private var words: [Name: String] = [:]

    private enum Name: Hashable { case resident, threads, descriptors }

    init(_ options: ProcessWatchOptions) {
        let all: [(Name, LimitOptions)] = [
            (.resident, options.rssBytes), (.threads, options.threads), (.descriptors, options.descriptors),
        ]
        for (name, options) in all where options.warning != nil || options.critical != nil {
            limits.append((name, Limit(.above, options)))
        }
    }

    /// What was measured of all its processes.
    mutating func measured(_ measures: [ProcessMeasure], at now: Instant) {
        residentBytes = measures.reduce(0) { $0 &+ $1.residentBytes }
        threads = measures.reduce(0) { $0 &+ $1.threads }
        let counts = measures.compactMap(\.descriptors)
        descriptors = counts.isEmpty ? nil : counts.reduce(0, &+)
        descriptorRatio =
            measures.compactMap { measure in
                guard let count = measure.descriptors, let limit = measure.descriptorLimit, limit > 0 else {
                    return nil
                }
                return Double(count) / Double(limit)
            }.max()
        for index in limits.indices { observe(index, at: now) }
    }

    /// As a scan found it, before the first measurement.
    mutating func scanned(residentBytes: Int64) { self.residentBytes = residentBytes }

    /// Nothing is running.
    mutating func ended() {
        (residentBytes, threads, descriptors, descriptorRatio) = (0, 0, nil, nil)
        for index in limits.indices { limits[index].limit.reset() }
        words = [:]
    }

    private mutating func observe(_ index: Int, at now: Instant) {
        let name = limits[index].name
        let value: Double? =
            switch name {
            case .resident: Double(residentBytes)
            case .threads: Double(threads)
            case .descriptors: descriptorRatio
            }
        // What cannot be measured is not judged.
        guard let value else { return limits[index].limit.reset() }
        if limits[index].limit.observed(value, at: now) { words[name] = told(name) }
    }

    private func told(_ name: Name) -> String {
        switch name {
        case .resident: "\(mebibytes(residentBytes)) of resident memory"
        case .threads: counted(Int(clamping: threads), "thread", "threads")
        case .descriptors: "\(percent(descriptorRatio ?? 0)) of its descriptors in use"
        }
    }

    private func mebibytes(_ bytes: Int64) -> String { "\(bytes >> 20) MiB" }

    /// The worst limit that stands, and what is told of it.
    var trouble: (status: Status, reason: String)? {
        guard let worst = limits.max(by: { $0.limit.status.severity < $1.limit.status.severity }),
            worst.limit.status != .ok
        else { return nil }
        return (worst.limit.status, words[worst.name] ?? "too much in use")
    }

    var values: [NamedValue] {
        var values = [
            NamedValue("rss_bytes", .integer(residentBytes)), NamedValue("threads", .integer(threads)),
        ]
        if let descriptors { values.append(NamedValue("descriptors", .integer(descriptors))) }
        if let descriptorRatio { values.append(NamedValue("descriptors_ratio", .number(descriptorRatio))) }
        return values
    }
}
