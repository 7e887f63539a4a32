// A steady rate: so many at once, as often as it takes. Who falls behind catches up, and says so at the end.
import Basics
import Glibc
import Linux

struct Pace {
    private let rate: Double
    private let start = Clock.monotonic
    private var count = 0.0

    /// - Parameter rate: a second; 0: as fast as it goes.
    init(rate: Double) { self.rate = rate }

    /// Waits until `more` are due.
    mutating func wait(for more: Int) {
        guard rate > 0 else { return }
        count += Double(more)
        let due = start + .nanoseconds(Int64(count / rate * 1e9))
        // A sleep ends some 50 microseconds late.
        while (due - Clock.monotonic).nanoseconds > 60_000 { usleep(20) }
    }

    /// Seconds since the start.
    var seconds: Double { Double((Clock.monotonic - start).nanoseconds) / 1e9 }
}

/// Writes a line of JSON to standard output.
func tell(_ members: [JSON.Member]) {
    let line = JSON.object(members).text + "\n"
    _ = unsafe line.withCString { unsafe Glibc.write(STDOUT_FILENO, $0, strlen($0)) }
}

extension JSON.Member {
    init(_ name: String, count: some BinaryInteger) { self.init(name, .integer(Int64(clamping: count))) }
}
