// The recorded feeds through a feed's lines: line A is the capture, line B is made of it with packets left out and
// late; and captures that end in the middle or were never right.
import Basics
import Detection
import FeedProtocols
import Foundation
import Linux
import Testing
import Wire

@testable import Watchers

/// A capture file's packets of one protocol.
private struct CapturedFeed {
    var packets: [(header: SequencedHeader, time: WallTime, group: FeedProtocols.IPAddress)] = []
    var malformed = 0
    /// What ended the file.
    var error: MalformedInput?

    init(_ bytes: [UInt8], _ name: PacketProtocol) {
        var reader = PcapFileReader()
        reader.feed(bytes)
        do throws(MalformedInput) {
            while let frame = try reader.next() {
                guard let datagram = try? UDPDatagram(frame, cut: true), let time = frame.time else {
                    continue
                }
                if let header = try? name.header(of: datagram.payload, length: datagram.length) {
                    packets.append((header, time, datagram.destination))
                } else {
                    malformed += 1
                }
            }
            try reader.finish()
        } catch {
            self.error = error
        }
    }
}

/// The bytes of a recording, unpacked where its name ends in gz.
private func recording(_ name: String) throws -> [UInt8] {
    let path = try #require(recordings) + "/" + name
    guard name.hasSuffix(".gz") else { return [UInt8](try Data(contentsOf: URL(filePath: path))) }
    let unpacking = Process()
    let output = Foundation.Pipe()
    unpacking.executableURL = URL(filePath: "/usr/bin/gzip")
    unpacking.arguments = ["-dc", path]
    unpacking.standardOutput = output
    try unpacking.run()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    unpacking.waitUntilExit()
    return [UInt8](data)
}

@Suite(.enabled(if: recordings != nil)) struct LineCaptureTests {
    private func count(_ machine: LineMachine, _ name: String, _ line: Int, _ now: Instant) -> Int64? {
        let value = machine.verdict(line, at: now).values.first { $0.name == name }?.value
        if case .integer(let count) = value { return count }
        return nil
    }

    /// Plays packets in the order of their times, each on its line, and a few seconds more.
    private func play(
        _ packets: [(line: Int, header: SequencedHeader, time: WallTime)], lines: [String],
        _ name: PacketProtocol
    ) -> (machine: LineMachine, now: Instant) {
        var machine = LineMachine(
            lines: lines, limits: LineLimits(silence: name.silence), from: .zero)
        let ordered = packets.enumerated().sorted {
            ($0.element.time, $0.offset) < ($1.element.time, $1.offset)
        }.map(\.element)
        guard let start = ordered.first?.time else { return (machine, .zero) }
        for line in lines.indices { machine.opened(line, at: .zero) }
        var now = Instant.zero
        for packet in ordered {
            let at = Instant(nanoseconds: packet.time.nanoseconds - start.nanoseconds)
            while now + .milliseconds(100) < at {
                now = now + .milliseconds(100)
                machine.tick(at: now)
            }
            now = max(now, at)
            machine.received(packet.header, on: packet.line, arrival: packet.time, at: now)
        }
        for _ in 0..<22 {
            now = now + .milliseconds(100)
            machine.tick(at: now)
        }
        return (machine, now)
    }

    @Test func `the recorded PITCH feed lacks 1 and 2 of unit 1, and nothing else`() throws {
        let feed = CapturedFeed(try recording("pitch/mcastpitch_realtime_useq.pcap"), .pitch)
        #expect(feed.error == nil && feed.malformed == 0)
        let group = try #require(IPv4Address("239.39.62.190"))
        let packets = feed.packets.filter { $0.group == .v4(group) }.map { (0, $0.header, $0.time) }
        let (machine, now) = play(packets, lines: ["A"], .pitch)
        #expect(count(machine, "heartbeats", 0, now) == 356)
        #expect(count(machine, "messages", 0, now) == 40 && count(machine, "gaps", 0, now) == 1)
        #expect(count(machine, "lost_everywhere_messages", 0, now) == 2)
        let values = machine.verdict(0, at: now).values
        #expect(values.contains(NamedValue("last_gaps", .text("1–2 of channel 1"))))
    }

    @Test func `the recorded IEX feed flows without a gap, and a B made of it lacks what was left out`()
        throws
    {
        let feed = CapturedFeed(try recording("iex/TOPS16.pcap.gz"), .iexTP)
        #expect(feed.error == nil && feed.malformed == 0 && feed.packets.count == 13_022)
        var random = SplitMix(state: 11)
        var packets: [(line: Int, header: SequencedHeader, time: WallTime)] = []
        var left: Int64 = 0
        for (index, packet) in feed.packets.enumerated() {
            packets.append((0, packet.header, packet.time))
            // The ends stay, so that each number left out lies between two that B has.
            let isInner = index > 10 && index < feed.packets.count - 10
            if isInner, random.chance(0.01), case .data(let count) = packet.header.kind {
                left += Int64(count)
            } else {
                packets.append((1, packet.header, packet.time + .microseconds(150)))
            }
        }
        let (machine, now) = play(packets, lines: ["A", "B"], .iexTP)
        #expect(count(machine, "packets", 0, now) == 13_022 && count(machine, "messages", 0, now) == 57_674)
        #expect(count(machine, "heartbeats", 0, now) == 237 && count(machine, "gaps", 0, now) == 0)
        #expect(left > 100 && count(machine, "lost_messages", 1, now) == left)
        #expect(count(machine, "lost_everywhere_messages", 1, now) == 0)
        #expect(machine.verdict(1, at: now).values.contains(NamedValue("skew_median_us", .number(150))))
        #expect(machine.verdict(0, at: now).status == .ok && machine.verdict(1, at: now).status == .warning)
    }

    @Test func `a capture that ends in the middle says where, and what it held before stands`() throws {
        let whole = try recording("pitch/mcastpitch_realtime_useq.pcap")
        let all = CapturedFeed(whole, .pitch).packets.count
        for share in [3, 5, 9] {
            let cut = CapturedFeed(Array(whole.prefix(whole.count * share / 10 + 3)), .pitch)
            let error = try #require(cut.error)
            #expect(error.reason == .truncated && error.offset < whole.count)
            #expect(cut.packets.count > all * (share - 1) / 10 && cut.packets.count < all)
            let (machine, now) = play(cut.packets.map { (0, $0.header, $0.time) }, lines: ["A"], .pitch)
            #expect(count(machine, "packets", 0, now) == Int64(cut.packets.count))
        }
    }

    @Test(arguments: PacketProtocol.allCases)
    func `broken captures end with an error or not, and never trap`(name: PacketProtocol) throws {
        for file in ["fuzz-2006-06-26-2594", "fuzz-2021-10-13"] {
            let feed = CapturedFeed(try recording("hostile/\(file).pcap"), name)
            var machine = LineMachine(lines: ["A"], limits: LineLimits(silence: name.silence), from: .zero)
            machine.opened(0, at: .zero)
            for packet in feed.packets {
                machine.received(packet.header, on: 0, arrival: packet.time, at: .zero)
            }
            machine.tick(at: at(5000))
            _ = machine.verdict(0, at: at(5000))
        }
    }
}
