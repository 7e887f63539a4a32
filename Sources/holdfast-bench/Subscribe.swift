// A subscriber that counts: frames, messages, what is missing, and how old each message is.
import ArgumentParser
import Basics
import CZeroMQ
import Glibc
import Linux
import Wire

struct Subscribe: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Count what comes, until nothing has come for a while.")

    enum Format: String, ExpressibleByArgument, CaseIterable {
        /// The gateway's frames.
        case holdfast
        /// The sequenced ZeroMQ feed's, as a proxy forwards them.
        case sequenced
    }

    @Argument(help: "The endpoint to connect to.") var endpoint: String
    @Option(help: "A topic to subscribe to.") var topic: [String] = [""]
    @Option(help: "Whose frames they are.") var format = Format.holdfast
    @Option(help: "Milliseconds without data after which it ends.") var quiet: Int32 = 1000
    @Option(help: "Data messages that are not counted at the start.") var warmup = 0
    @Flag(help: "By a line of our own, and not by libzmq's socket.") var line = false
    @Flag(help: "Measure from the source's time to the arrival.") var latency = false

    func run() throws {
        if line { try runByLine() } else { try runBySocket() }
    }

    private func runByLine() throws {
        let line = try SubscribeLine(to: endpoint, topic)
        var tally = Tally(format: format, warmup: warmup, keepsLatencies: latency)
        var last = Clock.monotonic
        while goesOn(tally, since: last) {
            var isData = false
            unsafe try line.receive(within: 50) { frame in
                if unsafe tally.take(frame) { isData = true }
            }
            if isData { last = Clock.monotonic }
        }
        tell(tally.summary)
    }

    private func goesOn(_ tally: Tally, since last: Instant) -> Bool {
        !tally.hasBegun || (Clock.monotonic - last).nanoseconds < Int64(quiet) * 1_000_000
    }

    private func runBySocket() throws {
        let context = BenchContext()
        let socket = try BenchSocket(context, ZMQ_SUB)
        try socket.set(ZMQ_SNDHWM, 0)
        try socket.set(ZMQ_RCVHWM, 0)
        try socket.set(ZMQ_RCVTIMEO, 50)
        for topic in topic { try socket.subscribe(topic) }
        try socket.connect(endpoint)
        var tally = Tally(format: format, warmup: warmup, keepsLatencies: latency)
        var last = Clock.monotonic
        while goesOn(tally, since: last) {
            guard let frame = unsafe socket.receive() else { continue }
            if unsafe tally.take(frame) { last = Clock.monotonic }
        }
        tell(tally.summary)
    }
}

/// What was counted.
struct Tally {
    let format: Subscribe.Format
    let warmup: Int
    let keepsLatencies: Bool
    private var latencies: [Int64] = []
    private var skipped = 0
    private var frames = 0
    private var messages = 0
    private var gaps: UInt64 = 0
    private var notLive = 0
    private var first = Instant.zero
    private var last = Instant.zero
    private var newest: UInt64 = 0

    init(format: Subscribe.Format, warmup: Int, keepsLatencies: Bool) {
        self.format = format
        self.warmup = warmup
        self.keepsLatencies = keepsLatencies
        if keepsLatencies { latencies.reserveCapacity(4_000_000) }
    }

    var hasBegun: Bool { frames > 0 || skipped > 0 }

    /// Whether it was data.
    @unsafe mutating func take(_ frame: UnsafeRawBufferPointer) -> Bool {
        guard let base = frame.baseAddress, let end = unsafe memchr(base, 0, frame.count) else {
            return false
        }
        let header = unsafe base.distance(to: UnsafeRawPointer(end)) + 1
        let (kindAt, dataKind, timeAt, needed) = format == .holdfast ? (1, 1, 40, 56) : (1, 1, 24, 32)
        guard frame.count >= header + needed else { return false }
        let kind = unsafe Int(frame[header + kindAt])
        if format == .holdfast, kind == 4 { unsafe noteGap(frame, header + needed) }
        let count = unsafe kind == dataKind ? 1 : batched(kind, frame, header)
        guard count > 0 else { return false }
        guard skipped >= warmup else {
            skipped += count
            return true
        }
        note(count)
        if format == .holdfast {
            if unsafe frame[header + 33] != 1 { notLive += 1 }
            newest = unsafe max(newest, frame.loadUnaligned(fromByteOffset: header + 16, as: UInt64.self))
        }
        if keepsLatencies {
            let sent = unsafe frame.loadUnaligned(fromByteOffset: header + timeAt, as: Int64.self)
            if sent > 0 { latencies.append(Clock.wall.nanoseconds - sent) }
        }
        return true
    }

    private mutating func note(_ count: Int) {
        frames += 1
        messages += count
        // A look at the clock costs a twentieth of a message.
        if frames == 1 { first = Clock.monotonic }
        if frames & 0x3F == 0 || keepsLatencies { last = Clock.monotonic }
    }

    /// How many messages a frame of several holds: its header's path and state are followed by them.
    private func batched(_ kind: Int, _ frame: UnsafeRawBufferPointer, _ header: Int) -> Int {
        guard format == .holdfast, kind == Int(FrameKind.batch.rawValue), frame.count >= header + 60 else {
            return 0
        }
        return unsafe Int(frame.loadUnaligned(fromByteOffset: header + 56, as: UInt32.self))
    }

    private mutating func noteGap(_ frame: UnsafeRawBufferPointer, _ body: Int) {
        guard frame.count >= body + 16 else { return }
        let first = unsafe frame.loadUnaligned(fromByteOffset: body, as: UInt64.self)
        let last = unsafe frame.loadUnaligned(fromByteOffset: body + 8, as: UInt64.self)
        gaps &+= last &- first &+ 1
    }

    var summary: [JSON.Member] {
        let seconds = Double((last - first).nanoseconds) / 1e9
        var members = [
            JSON.Member("messages", count: messages), JSON.Member("frames", count: frames),
            JSON.Member("skipped", count: skipped), JSON.Member("gaps", count: gaps),
            JSON.Member("not_live", count: notLive), JSON.Member("newest", count: newest),
            JSON.Member("seconds", .number(seconds)),
            JSON.Member("rate", .number(seconds > 0 ? Double(messages) / seconds : 0)),
        ]
        guard keepsLatencies, !latencies.isEmpty else { return members }
        let sorted = latencies.sorted()
        for (name, share) in [("median_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999), ("max_us", 1.0)] {
            let index = min(sorted.count - 1, Int(Double(sorted.count) * share))
            members.append(JSON.Member(name, .number(Double(sorted[index]) / 1000)))
        }
        return members
    }
}
