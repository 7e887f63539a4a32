// How disks' figures read in a reason.
import Basics

/// Bytes for a person: `1.2 GB`.
func size(_ bytes: UInt64) -> String {
    var value = Double(bytes)
    var unit = "B"
    for next in ["kB", "MB", "GB", "TB", "PB"] where value >= 1000 {
        value /= 1000
        unit = next
    }
    let tenths = Int64(min((value * 10).rounded(), 1e15))
    return unit == "B" ? "\(bytes) B" : "\(tenths / 10).\(tenths % 10) \(unit)"
}

/// A long time for a person, in its largest unit: `45 min`, `7 h`, `3 days`.
func longTime(_ duration: Duration) -> String {
    let minutes = max(0, duration.nanoseconds / 60_000_000_000)
    if minutes < 120 { return "\(minutes) min" }
    return minutes < 2 * 24 * 60 ? "\(minutes / 60) h" : "\(minutes / (24 * 60)) days"
}

/// A ratio in whole per cent, rounded down: what is not full does not read 100.
func wholePercent(_ ratio: Double) -> Int { Int((min(max(ratio, 0), 1) * 100).rounded(.down)) }
