// Capture and BinaryFILE readers: whole, in pieces, real, and hostile.
import Basics
import Testing

@testable import FeedProtocols

/// Everything that a capture holds, fed in pieces of `piece` bytes, and what ended it.
func frames(of bytes: [UInt8], piece: Int = 4096) -> (frames: [CapturedFrame], error: MalformedInput?) {
    var reader = PcapFileReader()
    var frames: [CapturedFrame] = []
    do throws(MalformedInput) {
        for start in stride(from: 0, to: bytes.count, by: piece) {
            reader.feed(bytes[start..<min(start + piece, bytes.count)])
            while let frame = try reader.next() { frames.append(frame) }
        }
        try reader.finish()
        return (frames, nil)
    } catch {
        return (frames, error)
    }
}

/// What a TCP segment in IPv4 and Ethernet carries, and the port that it comes from.
struct TCPSegment {
    let port: UInt16
    let payload: ArraySlice<UInt8>

    init(_ frame: CapturedFrame) {
        let isTagged = frame.bytes.dropFirst(12).starts(with: [0x81, 0])
        let ip = frame.bytes.dropFirst(isTagged ? 18 : 14)
        // The headers say their lengths themselves.
        let packet = ip.prefix(TCPSegment.number(ip.dropFirst(2)))
        let segment = packet.dropFirst(4 * Int((packet.first ?? 0) & 0x0F))
        port = UInt16(TCPSegment.number(segment))
        payload = segment.dropFirst(4 * Int((segment.dropFirst(12).first ?? 0) >> 4))
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> Int {
        bytes.prefix(2).reduce(0) { $0 << 8 | Int($1) }
    }
}

@Suite struct RecordingFileTests {
    /// Ethernet, IPv4, UDP from 10.0.0.1:1000 to 239.1.1.1:2000, payload AA BB, one byte of padding.
    private let ethernet = hex(
        """
        01005E010101 020000000001 0800
        4500001E 00000000 0111 0000 0A000001 EF010101
        03E8 07D0 000A 0000 AABB 00
        """)

    private func classic(_ magic: String, link: String, stamp: String, length: String, _ frame: [UInt8])
        -> [UInt8]
    {
        hex(magic + "0000 0000 00000000 00000000 00000000" + link + stamp + length + length) + frame
    }

    @Test func `classic captures read in both byte orders and both resolutions`() throws {
        let length = ethernet.count
        let little = hex("\(length < 16 ? "0" : "")" + String(length, radix: 16) + "000000")
        let hexLittle = little.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        let hexBig = little.reversed().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        let micro = classic(
            "D4C3B2A1", link: "01000000", stamp: "0100000002000000", length: hexLittle, ethernet)
        let nano = classic("A1B23C4D", link: "00000001", stamp: "0000000100000002", length: hexBig, ethernet)
        for (bytes, time) in [(micro, 1_000_002_000), (nano, 1_000_000_002)] as [([UInt8], Int64)] {
            let (found, error) = frames(of: bytes)
            #expect(error == nil)
            #expect(found.map(\.time) == [WallTime(nanoseconds: time)])
            let datagram = try #require(try found.first.flatMap { try UDPDatagram($0) })
            #expect(datagram.source.description == "10.0.0.1")
            #expect(datagram.sourcePort == 1000)
            #expect(datagram.destination == .v4(IPv4Address(number: 0xEF01_0101)))
            #expect(datagram.destinationPort == 2000)
            #expect(datagram.payload.elementsEqual([0xAA, 0xBB]))
        }
    }

    private func datagram(_ link: LinkType, _ bytes: [UInt8]) throws -> UDPDatagram? {
        try UDPDatagram(
            CapturedFrame(time: nil, link: link, bytes: bytes[...], originalLength: bytes.count))
    }

    @Test func `one datagram is found behind every link type`() throws {
        let ip = Array(ethernet.dropFirst(14))
        let vlan = Array(ethernet.prefix(12)) + hex("88A8 0001 8100 0002 0800") + ip
        let cooked = hex("0000 0001 0006 0200000000010000 0800") + ip
        let cooked2 = hex("0800 0000 00000001 0001 00 06 0200000000010000") + ip
        let links: [(LinkType, [UInt8])] = [
            (.ethernet, ethernet), (.ethernet, vlan), (.linuxCooked, cooked), (.linuxCooked2, cooked2),
            (.raw, ip), (.ipv4, ip), (.null, hex("02000000") + ip), (.loop, hex("00000002") + ip),
        ]
        for (link, bytes) in links {
            #expect(try datagram(link, bytes)?.payload.elementsEqual([0xAA, 0xBB]) == true, "link \(link)")
        }
        #expect(try datagram(LinkType(rawValue: 9999), ethernet) == nil)
    }

    @Test func `a datagram over IPv6 is found behind extension headers`() throws {
        let addresses = "20010db8000000000000000000000001 ff020000000000000000000000000002"
        let bytes = hex("60000000 0012 00 01" + addresses + "1100 000000000000 03E8 07D0 000A 0000 AABB")
        let found = try #require(try datagram(.raw, bytes))
        #expect(found.source.description == "2001:db8:0:0:0:0:0:1")
        #expect(found.payload.elementsEqual([0xAA, 0xBB]))
    }

    @Test func `fragments and other protocols are no datagrams, cut ones are refused`() throws {
        var fragment = ethernet
        fragment[20] = 0x20
        #expect(try datagram(.ethernet, fragment) == nil)
        var tcp = ethernet
        tcp[23] = 6
        #expect(try datagram(.ethernet, tcp) == nil)
        #expect(throws: MalformedInput.self) { try datagram(.ethernet, Array(ethernet.prefix(40))) }
        for length in 0..<ethernet.count { _ = try? datagram(.ethernet, Array(ethernet.prefix(length))) }
    }

    @Test func `a record that claims 4 GB is refused where it says so`() {
        let bytes = classic(
            "D4C3B2A1", link: "01000000", stamp: "0000000000000000", length: "FFFFFFFF", ethernet)
        let (found, error) = frames(of: bytes)
        #expect(found.isEmpty)
        #expect(error == MalformedInput(.oversized, offset: 32, wanted: 262_144, found: 0xFFFF_FFFF))
    }

    @Test func `a file of another kind is refused by its magic number`() {
        let (_, error) = frames(of: [UInt8](repeating: 0x20, count: 64))
        #expect(error?.reason == .unknownVersion)
        let gzip = frames(of: hex("1F8B0808") + [UInt8](repeating: 0x20, count: 64)).error
        #expect(gzip?.description == "compressed with gzip: unpack it with gunzip first")
        #expect(frames(of: []).error?.reason == .truncated)
    }

    @Test func `pcapng clocks are read with their own resolution and offset`() throws {
        let interface =
            hex("01000000 28000000 0100 0000 00000000 0900 0100 03000000 0E00 0800 0A00000000000000 00000000")
        let fixed = Array(interface.prefix(36)) + hex("28000000")
        let section = hex("0A0D0D0A 1C000000 4D3C2B1A 0100 0000 FFFFFFFFFFFFFFFF 1C000000")
        let packet = hex("06000000 24000000 00000000 00000000 E8030000 01000000 01000000 AA000000 24000000")
        let (found, error) = frames(of: section + fixed + packet, piece: 1)
        #expect(error == nil)
        #expect(found.map(\.time) == [WallTime(nanoseconds: 11_000_000_000)])
        #expect(found.first?.bytes.elementsEqual([0xAA]) == true)
    }

    @Test func `BinaryFILE messages come out whole from any pieces, and a length of 0 ends them`() throws {
        let bytes = hex("0002 4142 0001 43 0000 0001 44")
        for piece in 1...bytes.count {
            var reader = BinaryFILEReader()
            var messages: [[UInt8]] = []
            for start in stride(from: 0, to: bytes.count, by: piece) {
                reader.feed(bytes[start..<min(start + piece, bytes.count)])
                while let message = reader.next() { messages.append(Array(message)) }
            }
            try reader.finish()
            #expect(messages == [hex("4142"), hex("43")])
            #expect(reader.isAtEnd)
        }
    }

    @Test func `a BinaryFILE that ends within a message says where`() {
        var reader = BinaryFILEReader()
        reader.feed(hex("0001 41 0005 4243"))
        #expect(reader.next() != nil)
        #expect(reader.next() == nil)
        #expect(throws: MalformedInput(.truncated, offset: 3, wanted: 7, found: 4)) { try reader.finish() }
    }

    @Test func `a file is recognised by its first bytes`() {
        #expect(RecordingFormat(recognising: hex("D4C3B2A1")[...]) == .pcap)
        #expect(RecordingFormat(recognising: hex("A1B23C4D")[...]) == .pcap)
        #expect(RecordingFormat(recognising: hex("0A0D0D0A")[...]) == .pcapng)
        #expect(RecordingFormat(recognising: hex("000C53")[...]) == .binaryFILE)
        #expect(RecordingFormat(recognising: hex("000D53")[...]) == nil)
        #expect(RecordingFormat(recognising: [][...]) == nil)
    }
}

@Suite(.enabled(if: Recordings.arePresent)) struct RealRecordingTests {
    @Test func `the recorded PITCH capture has its 739 packets, whatever the pieces`() throws {
        let bytes = try Recordings.bytes("pitch/mcastpitch_realtime_useq.pcap")
        for piece in [7, 4096, bytes.count] {
            let (found, error) = frames(of: bytes, piece: piece)
            #expect(error == nil)
            #expect(found.count == 739)
            #expect(try found.allSatisfy { try UDPDatagram($0) != nil })
        }
    }

    @Test func `the recorded nanosecond pcapng captures read to their ends`() throws {
        for name in ["combo_legs", "price_index", "rfq"] {
            let (found, error) = frames(of: try Recordings.bytes("deribit/\(name).pcapng"))
            #expect(error == nil)
            #expect(!found.isEmpty)
            #expect(try found.contains { try UDPDatagram($0) != nil })
            #expect(found.allSatisfy { ($0.time?.rfc3339.prefix(2) ?? "") == "20" })
        }
    }

    @Test func `every venue's capture reads, or says where it is broken`() throws {
        var datagrams = 0
        for path in try Recordings.all(under: "omi", ending: ".pcap") {
            let (found, error) = frames(of: try Recordings.bytes(path))
            #expect(error == nil, "\(path)")
            datagrams += found.count { (try? UDPDatagram($0)) != nil }
        }
        #expect(datagrams > 200)
    }

    @Test func `the real Nasdaq capture holds MoldUDP64 with sound ITCH messages`() throws {
        var messages = 0
        for path in try Recordings.all(
            under: "omi/Nasdaq/Nasdaq.Equities.TotalView.Itch.v5.0", ending: ".pcap")
        {
            for frame in frames(of: try Recordings.bytes(path)).frames {
                guard let datagram = try UDPDatagram(frame) else { continue }
                let packet = try MoldUDP64Packet(decoding: datagram.payload)
                #expect(packet.session.description == "000010059B")
                for (_, bytes) in packet.messages {
                    #expect(ITCH50Message.length(ofType: try ITCH50Message(bytes).type) == bytes.count)
                    messages += 1
                }
            }
        }
        #expect(messages > 0)
    }

    @Test
    func `the real ISE captures are one MoldUDP64 session, with a heartbeat that names what comes next`()
        throws
    {
        var firsts: [String: [UInt64]] = [:]
        for path in try Recordings.all(under: "omi/Nasdaq", ending: ".pcap") where path.contains("/Ise.") {
            let name = path.hasSuffix("/Heartbeat.pcap") ? "heartbeat" : String(path.split(separator: "/")[2])
            for frame in frames(of: try Recordings.bytes(path)).frames {
                let datagram = try #require(try UDPDatagram(frame))
                let packet = try MoldUDP64Packet(decoding: datagram.payload)
                #expect(packet.session.description == "000008367I")
                #expect(packet.kind == (name == "heartbeat" ? .heartbeat : .data(count: 1)), "\(path)")
                #expect(
                    packet.messages.map(\.sequence) == (name == "heartbeat" ? [] : [packet.firstSequence]))
                #expect(packet.trailingBytes == 0)
                firsts[name, default: []].append(packet.firstSequence)
            }
        }
        // Each of the two feeds' folders has the heartbeat.
        #expect(firsts["heartbeat"] == [383_265, 383_265])
        #expect(firsts["Ise.OrderComboFeed.v1.1"]?.count == 5)
        #expect(firsts["Ise.TopComboQuoteFeed.v1.0"]?.count == 7)
        #expect(firsts["Ise.OrderComboFeed.v1.1"]?.allSatisfy { $0 < 383_265 } == true)
    }

    @Test func `a capture of broken frames is read whole, its frames read or refused`() throws {
        let (found, error) = frames(of: try Recordings.bytes("hostile/fuzz-2006-06-26-2594.pcap"))
        #expect(error == nil)
        #expect(found.count == 691)
        for frame in found { _ = try? UDPDatagram(frame) }
    }

    @Test func `a broken capture ends with an error that names the place`() throws {
        let bytes = try Recordings.bytes("hostile/fuzz-2021-10-13.pcap")
        let (found, error) = frames(of: bytes)
        for frame in found { _ = try? UDPDatagram(frame) }
        let refused = try #require(error)
        #expect(refused.offset <= bytes.count)
    }
}
