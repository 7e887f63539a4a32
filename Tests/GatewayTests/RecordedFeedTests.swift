// The recorded feeds of IEX and Cboe through the engine, as two lines that lose packets each: what comes out is every
// message of the recording once, in order and unchanged, or told as missing, and nothing else is.
import Basics
import Configuration
import FeedProtocols
import Foundation
import Testing
import Wire

@testable import Gateway

/// A feed as it was captured.
private struct Recording {
    struct Packet {
        let time: WallTime
        let bytes: ArraySlice<UInt8>
    }

    private static let folder = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("../shared/data").standardizedFileURL

    static var arePresent: Bool { FileManager.default.fileExists(atPath: folder.path) }

    let packets: [Packet]
    /// By their numbers.
    let messages: [UInt64: [UInt8]]

    /// - Parameter messages: of a packet, with their numbers.
    init(
        _ path: String,
        messages: (ArraySlice<UInt8>) throws -> [(sequence: UInt64, message: ArraySlice<UInt8>)]
    ) throws {
        var reader = PcapFileReader()
        reader.feed(try Recording.unpacked(path))
        var packets: [Packet] = []
        var known: [UInt64: [UInt8]] = [:]
        while let frame = try reader.next() {
            let payload = try #require(try UDPDatagram(frame)).payload
            packets.append(Packet(time: try #require(frame.time), bytes: payload))
            for (sequence, message) in try messages(payload) { known[sequence] = Array(message) }
        }
        try reader.finish()
        self.packets = packets
        self.messages = known
    }

    private static func unpacked(_ path: String) throws -> [UInt8] {
        let unpacking = Process()
        let output = Pipe()
        unpacking.executableURL = URL(filePath: "/usr/bin/gzip")
        // What is not packed is copied.
        unpacking.arguments = ["-dcf", folder.appendingPathComponent(path).path]
        unpacking.standardOutput = output
        try unpacking.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        unpacking.waitUntilExit()
        return [UInt8](data)
    }

    static func tops() throws -> Recording {
        try Recording("iex/TOPS16.pcap.gz") { Array(try IEXTPSegment(decoding: $0).messages) }
    }

    static func pitch() throws -> Recording {
        try Recording("pitch/mcastpitch_realtime_useq.pcap") { bytes in
            let packet = try PITCHPacket(decoding: bytes)
            guard packet.header.unit == 1 else { return [] }
            return packet.messages.map { (UInt64($0.sequence), $0.message) }
        }
    }
}

/// Which lines a packet comes on.
private struct Loss {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    /// A number below 100.
    private mutating func chance() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return (state >> 33) % 100
    }

    /// Each line loses so many of a hundred, whatever the other one does.
    mutating func ofEach(_ percent: UInt64) -> [Bool] { (0..<2).map { _ in chance() >= percent } }

    /// One line or the other loses so many of a hundred.
    mutating func ofOne(_ percent: UInt64) -> [Bool] {
        let number = chance()
        return [number >= percent, !(percent..<2 * percent).contains(number)]
    }
}

/// What the engine makes of two lines, B a millisecond behind A.
private struct Played {
    let bench: Bench
    /// The numbers that no line brought.
    private(set) var lost: Set<UInt64> = []
    /// Messages that each line brought.
    private(set) var brought = [0, 0]
    private(set) var complaints: [String] = []

    /// - Parameter comes: on which lines the next packet does. The first and the last come on both.
    init(
        _ recording: Recording, _ bench: Bench, numbers: (ArraySlice<UInt8>) throws -> Range<UInt64>,
        comes: () -> [Bool]
    ) throws {
        self.bench = bench
        let begin = try #require(recording.packets.first).time.nanoseconds
        var events: [(at: Int64, path: Int, packet: Recording.Packet)] = []
        for (index, packet) in recording.packets.enumerated() {
            let isEnd = index == 0 || index == recording.packets.count - 1
            let lines = isEnd ? [true, true] : comes()
            let carried = try numbers(packet.bytes)
            if lines == [false, false] { lost.formUnion(carried) }
            for path in 0..<2 where lines[path] {
                brought[path] += carried.count
                let at = packet.time.nanoseconds - begin + Int64(path) * 1_000_000
                events.append((at, path, packet))
            }
        }
        var clock = Int64(0)
        for event in events.sorted(by: { ($0.at, $0.path) < ($1.at, $1.path) }) {
            tick(from: &clock, to: event.at, begin)
            complaints += lend(Array(event.packet.bytes)) {
                let wall = WallTime(nanoseconds: begin + event.at)
                _ = bench.engine.received(
                    $0, on: event.path, receivedAt: wall, at: Instant(nanoseconds: event.at), wall: wall)
            }
        }
        tick(from: &clock, to: clock + 1_000_000_000, begin)
    }

    /// At each deadline, as the loop does; at most once in a millisecond.
    private func tick(from clock: inout Int64, to end: Int64, _ begin: Int64) {
        while max(clock + 1_000_000, bench.engine.deadline.nanoseconds) < end {
            clock = max(clock + 1_000_000, bench.engine.deadline.nanoseconds)
            bench.engine.tick(at: Instant(nanoseconds: clock), wall: WallTime(nanoseconds: begin + clock))
        }
        clock = max(clock, end)
    }
}

/// What a client can hold against what came out.
private struct Account {
    private(set) var delivered: [UInt64] = []
    private(set) var told: [UInt64] = []
    private(set) var epochs: Set<UInt64> = []
    private(set) var ofNoInstrument = 0
    private(set) var faults: [String] = []
    private var last: [String: UInt64] = [:]

    init(_ frames: [Frame], of recording: Recording) {
        for frame in frames { take(frame, recording) }
    }

    private mutating func take(_ frame: Frame, _ recording: Recording) {
        let header = frame.header
        switch header.kind {
        case .data:
            let topic = String(decoding: frame.topicBytes, as: UTF8.self)
            delivered.append(header.sequence)
            epochs.insert(header.epoch)
            if topic == "md/md/*/" { ofNoInstrument += 1 }
            if recording.messages[header.sequence] != Array(frame.body) {
                faults.append("\(header.sequence) is another message")
            }
            // A gap in between changes nothing: it is told by itself.
            let known = last.updateValue(header.sequence, forKey: topic) ?? 0
            if header.previous != known {
                faults.append("\(topic) \(header.sequence) after \(header.previous), not \(known)")
            }
        case .gap:
            guard case .gap(let range, _, _)? = try? ControlBody(kind: .gap, parsing: frame.body) else {
                return faults.append("a gap that cannot be read")
            }
            told += range.first...range.last
        case .batch, .heartbeat, .idle, .state, .sync: break
        }
    }
}

@Suite(.enabled(if: Recording.arePresent)) struct RecordedFeedTests {
    private func numbersOfSegment(_ bytes: ArraySlice<UInt8>) throws -> Range<UInt64> {
        let header = try IEXTPHeader(decoding: bytes, length: bytes.count)
        return header.firstSequence..<header.firstSequence + UInt64(header.count)
    }

    private func numbersOfUnit(_ bytes: ArraySlice<UInt8>) throws -> Range<UInt64> {
        let header = try PITCHPacket(decoding: bytes).header.sequenced
        guard case .data(let count) = header.kind else { return 0..<0 }
        return header.firstSequence..<header.firstSequence + UInt64(count)
    }

    /// Everything that holds whatever was lost.
    private func check(_ played: Played, _ recording: Recording, epoch: UInt64?, before: [UInt64] = [])
        -> Account
    {
        let account = Account(played.bench.recorder.frames, of: recording)
        #expect(account.faults.isEmpty && played.complaints.isEmpty, "\(account.faults.prefix(5))")
        #expect(account.delivered == recording.messages.keys.sorted().filter { !played.lost.contains($0) })
        #expect(account.told == before + played.lost.sorted())
        #expect(account.epochs.count == 1)
        if let epoch { #expect(account.epochs == [epoch]) }
        let channel = played.bench.engine.channel
        #expect(
            channel.published == UInt64(account.delivered.count) && channel.gaps == UInt64(account.told.count)
        )
        #expect(channel.epochs == 0 && channel.refused.isEmpty, "\(channel)")
        for path in 0..<2 {
            let figures = played.bench.engine.figures(of: path)
            #expect(figures.messages == UInt64(played.brought[path]) && figures.divergent == 0)
            #expect(figures.decodeErrors.isEmpty, "\(figures.decodeErrors)")
        }
        return account
    }

    @Test func `what either line of the recorded TOPS feed loses the other brings`() throws {
        let recording = try Recording.tops()
        var loss = Loss(seed: 1)
        let played = try Played(
            recording, Bench(.iexTP, .hotHot, channels: [1]), numbers: numbersOfSegment
        ) { loss.ofOne(10) }
        let account = check(played, recording, epoch: 1_137_508_352)
        #expect(played.lost.isEmpty && account.told.isEmpty)
        #expect(played.brought.allSatisfy { (45_000..<57_000).contains($0) }, "\(played.brought)")
        #expect(account.delivered.count - account.ofNoInstrument == 57_668 && account.ofNoInstrument == 6)
    }

    @Test func `what both lines of the recorded TOPS feed lose is told exactly, and nothing else is`() throws
    {
        let recording = try Recording.tops()
        #expect(recording.packets.count == 13_022)
        var loss = Loss(seed: 2)
        let played = try Played(
            recording, Bench(.iexTP, .hotHot, channels: [1]), numbers: numbersOfSegment
        ) { loss.ofEach(10) }
        let account = check(played, recording, epoch: 1_137_508_352)
        #expect(account.told.count > 300 && account.delivered.count + account.told.count == 57_674)
    }

    @Test func `the recorded PITCH unit is told from where its heartbeats say that it begins`() throws {
        let recording = try Recording.pitch()
        #expect(recording.packets.count == 739 && recording.messages.keys.sorted() == Array(3...42))
        for seed in 1...20 as ClosedRange<UInt64> {
            var loss = Loss(seed: seed)
            let played = try Played(
                recording, Bench(.pitch, .hotHot, channels: [1]), numbers: numbersOfUnit
            ) { loss.ofEach(25) }
            // Its first heartbeat announces 1, and the capture begins with 3.
            let account = check(played, recording, epoch: nil, before: [1, 2])
            #expect(account.delivered.count + account.told.count == 42)
        }
    }
}
