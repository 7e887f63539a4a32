// A sequenced ZeroMQ venue on one or more endpoints: the same messages on each, at a steady rate or as fast as the
// slowest of them takes.
import ArgumentParser
import Basics
import FeedProtocols
import Glibc
import Linux

struct SendQuotes: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "send-quotes", abstract: "Send sequenced ZeroMQ messages on one or more endpoints.")

    @Option(help: "An endpoint to bind.") var endpoint: [String] = []
    @Option(help: "Messages a second; 0: as fast as it goes.") var rate = 100_000.0
    @Option(help: "Messages to send.") var messages = 1_000_000
    @Option(help: "Bytes of a message's payload.") var size = 64
    @Option(help: "Instruments.") var topics = 100
    @Flag(help: "By lines of our own, all to one subscriber of each, and not by libzmq's sockets.")
    var lines = false

    private static let heartbeatEvery = 100_000_000 as Int64
    /// Messages between two looks at the clock, as fast as it goes.
    private static let atOnce = 64

    func run() throws {
        guard !endpoint.isEmpty, (1...1_000_000).contains(topics), (0...65_536).contains(size) else {
            throw ValidationError("--endpoint ENDPOINT, at least once; see --help")
        }
        let outlet: any QuoteOutlet =
            lines ? try QuoteLines(at: endpoint) : try QuoteSockets(at: endpoint)
        try outlet.awaitSubscribers()
        var stream = QuoteStream(topics: topics, size: size)
        var pace = Pace(rate: rate)
        let step = rate > 0 ? max(1, Int(rate / 20_000)) : SendQuotes.atOnce
        var sent = 0
        var nextHeartbeat = Int64.min
        while sent < messages {
            pace.wait(for: step)
            let now = Clock.wall
            if now.nanoseconds >= nextHeartbeat {
                nextHeartbeat = now.nanoseconds + SendQuotes.heartbeatEvery
                stream.heartbeat(at: now)
                try outlet.send(stream.frame)
            }
            for _ in 0..<step {
                stream.advance(at: now)
                try outlet.send(stream.frame)
            }
            try outlet.flush()
            sent += step
        }
        let seconds = pace.seconds
        tell([
            JSON.Member("messages", count: sent), JSON.Member("seconds", .number(seconds)),
            JSON.Member("rate", .number(Double(sent) / seconds)),
        ])
        linger(outlet, &stream)
    }

    /// Says for a while where each topic stands, to those who are still there.
    private func linger(_ outlet: any QuoteOutlet, _ stream: inout QuoteStream) {
        for _ in 0..<20 {
            stream.heartbeat(at: Clock.wall)
            do {
                try outlet.send(stream.frame)
                try outlet.flush()
            } catch {
                return
            }
            usleep(50_000)
        }
    }
}

/// Messages in turn on each topic.
struct QuoteStream {
    private(set) var frame: [UInt8] {
        get { writer.bytes }
        set { writer.bytes = newValue }
    }
    private let names: [[UInt8]]
    private var sequences: [UInt64]
    private var next = 0
    private let payload: [UInt8]
    private let encoder = SequencedFrameEncoder(session: 1)
    private var writer = ByteWriter(capacity: 512)

    init(topics: Int, size: Int) {
        names = (1...topics).map { Array("Q\($0)/".utf8) }
        sequences = Array(repeating: 0, count: topics)
        payload = Array(repeating: 0x2A, count: size)
    }

    /// Whether who subscribes to this gets more than heartbeats.
    static func isData(topic: some Sequence<UInt8>) -> Bool {
        !topic.elementsEqual(SequencedFrame.heartbeatTopic)
    }

    mutating func advance(at now: WallTime) {
        sequences[next] += 1
        write(.data, names[next], sequences[next], now, payload)
        next = next + 1 == names.count ? 0 : next + 1
    }

    mutating func heartbeat(at now: WallTime) {
        write(.heartbeat(every: .milliseconds(100)), SequencedFrame.heartbeatTopic, 0, now, [])
    }

    private mutating func write(
        _ kind: SequencedFrame.Kind, _ topic: [UInt8], _ sequence: UInt64, _ now: WallTime, _ payload: [UInt8]
    ) {
        writer.bytes.removeAll(keepingCapacity: true)
        encoder.write(
            kind, topic: topic, sequence: sequence, sourceTime: now, payload: payload, into: &writer)
    }
}
