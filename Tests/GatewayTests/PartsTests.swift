// The gateway's small parts: names, the venue's clock, link messages, the loss alarm.
import Arbitration
import Basics
import Configuration
import FeedProtocols
import Testing
import Wire

@testable import Gateway

@Suite struct GatewayPartsTests {
    @Test(arguments: ["AAPL", "BRK/A", "50%", "A B", "\u{1}", "Ünï"])
    func `an instrument's name survives the feed's spelling`(name: String) {
        #expect(UpstreamName.name(of: UpstreamName.topic(of: name)[...]) == name)
    }

    @Test(arguments: ["", "/", "A", "A%/", "A%2/", "A%2g/", "A%2f/", "A/B/", "A%20B/"])
    func `what is no topic of the feed has no name`(topic: String) {
        #expect(UpstreamName.name(of: Array(topic.utf8)[...]) == nil)
    }

    @Test func `what a connection brought last is kept as long as it is of use, and as far as there is room`()
    {
        var recent = RecentFrames(within: .seconds(1))
        for time in stride(from: 0, through: 3000, by: 100) as StrideThrough<Int64> {
            recent.append([UInt8(time / 100)], at: ms(time))
        }
        #expect(recent.take(at: ms(3500)).flatMap { $0 } == [25, 26, 27, 28, 29, 30])
        #expect(recent.take(at: ms(3500)) == [])
        for number in 0..<40 as Range<UInt8> {
            recent.append([UInt8](repeating: number, count: 1 << 20), at: ms(4000))
        }
        let kept = recent.take(at: ms(4000))
        #expect(kept.count == 15 && kept.last?.first == 39)
        recent.append([1], at: ms(4000))
        recent.removeAll()
        #expect(recent.take(at: ms(4000)) == [])
    }

    @Test func `a lease has the name of its client, or one below it that is no other client's`() throws {
        let key = try #require(PublicKey(bytes: Array(repeating: 1, count: 32)))
        let other = try #require(PublicKey(bytes: Array(repeating: 2, count: 32)))
        let (fra, first) = (AllowedClient(name: "fra", key: key), AllowedClient(name: "fra.1", key: other))
        let list = AllowList([fra, first])
        func has(_ client: AllowedClient, _ name: String) -> Bool {
            ClientDesk.trouble(withName: name, .client(client), among: list) == nil
        }
        #expect(has(fra, "fra") && has(fra, "fra.2") && has(fra, "fra.2.1") && has(fra, "fra.10"))
        #expect(!has(fra, "fra.1") && !has(fra, "fra.1.a") && !has(fra, "fra2") && !has(fra, "lon"))
        #expect(has(first, "fra.1") && has(first, "fra.1.a"))
        #expect(!has(first, "fra") && !has(first, "fra.2"))
        #expect(
            ClientDesk.trouble(withName: "fra.1", .client(fra), among: list)
                == "the name fra.1 is for client fra.1")
        #expect(ClientDesk.trouble(withName: "fra.1", .open, among: list) == nil)
    }

    @Test func `the venue's zone is found from the first message and kept`() {
        var clock = SourceClock()
        let noon: UInt64 = 12 * 3_600_000_000_000
        // 5 hours behind, 20 ms on the way.
        let early = noon - 5 * 3_600_000_000_000 - 20_000_000
        #expect(clock.time(ofDay: early, receivedAt: wall(0)) == wall(-20))
        // A quarter of an hour late is late and not another zone.
        #expect(clock.time(ofDay: early, receivedAt: wall(900_000)) == wall(-20))
    }

    @Test func `a clock that fits no zone is not believed, until it fits one for two seconds`() {
        var clock = SourceClock()
        let noon: UInt64 = 12 * 3_600_000_000_000
        #expect(clock.time(ofDay: noon + 300_000_000_000, receivedAt: wall(0)) == nil)
        #expect(clock.time(ofDay: noon, receivedAt: wall(0)) == nil)
        #expect(clock.time(ofDay: noon, receivedAt: wall(1999)) == nil)
        #expect(clock.time(ofDay: noon, receivedAt: wall(2000)) == wall(0))
        clock.restart()
        #expect(clock.time(ofDay: noon - 3_600_000_000_000, receivedAt: wall(0)) == wall(0))
    }

    @Test func `of a session that is sent from its beginning at once only the last messages set the zone`() {
        var clock = SourceClock()
        let noon: UInt64 = 12 * 3_600_000_000_000
        // From 3 hours and 7 minutes before until now, a second of it in a millisecond; some of it looks as if it were
        // of now in another zone.
        for second in -11_220...0 {
            let time = noon &+ UInt64(bitPattern: Int64(second) * 1_000_000_000)
            #expect(clock.time(ofDay: time, receivedAt: wall(Int64(second))) == nil)
        }
        for second: Int64 in 1...20 {
            let time = noon + UInt64(second) * 1_000_000_000
            let expected = second < 2 ? nil : wall(1000 * second)
            #expect(clock.time(ofDay: time, receivedAt: wall(1000 * second + 3)) == expected)
        }
    }

    @Test func `a zone that was taken from an old message is refuted by what follows`() {
        var clock = SourceClock()
        let noon: UInt64 = 12 * 3_600_000_000_000
        // 3 hours before.
        #expect(clock.time(ofDay: noon - 10_800_000_000_000, receivedAt: wall(0)) == wall(0))
        for time: Int64 in 1...16 { #expect(clock.time(ofDay: noon, receivedAt: wall(time)) == nil) }
        #expect(clock.time(ofDay: noon, receivedAt: wall(100)) == nil)
        #expect(clock.time(ofDay: noon, receivedAt: wall(2100)) == wall(0))
    }

    @Test func `a message or two that lie in the future refute no zone, and have no time`() {
        var clock = SourceClock()
        let noon: UInt64 = 12 * 3_600_000_000_000
        #expect(clock.time(ofDay: noon, receivedAt: wall(0)) == wall(0))
        for _ in 0..<2 {
            #expect(clock.time(ofDay: noon + 7_200_000_000_000, receivedAt: wall(1)) == nil)
            #expect(clock.time(ofDay: noon, receivedAt: wall(1)) == wall(0))
        }
    }

    @Test func `the venue's midnight is crossed`() {
        var clock = SourceClock()
        let midnight = wall(12 * 3_600_000)
        #expect(clock.time(ofDay: 86_399_990_000_000, receivedAt: midnight) == wall(12 * 3_600_000 - 10))
        #expect(clock.time(ofDay: 0, receivedAt: midnight) == midnight)
    }

    /// One RTM_NEWLINK: length 32, type 16, then ifinfomsg with index 7 and flags.
    private func link(type: UInt8, flags: [UInt8]) -> [UInt8] {
        [32, 0, 0, 0, type, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 7, 0, 0, 0] + flags + [0, 0, 0, 0]
    }

    @Test func `link messages tell carrier and disappearance`() {
        let up = link(type: 16, flags: [0x43, 0x10, 1, 0])
        let down = link(type: 16, flags: [0x03, 0x10, 0, 0])
        let gone = link(type: 17, flags: [0, 0, 0, 0])
        #expect(
            LinkMessages.read((up + down + gone)[...]) == [
                LinkNews(index: 7, isRunning: true, isGone: false),
                LinkNews(index: 7, isRunning: false, isGone: false),
                LinkNews(index: 7, isRunning: false, isGone: true),
            ])
    }

    @Test(
        arguments: [
            [], [0, 0, 0, 0], [15, 0, 0, 0, 16, 0],
            [255, 255, 255, 255, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ] as [[UInt8]])
    func `link messages that are cut or lie about their length are skipped`(bytes: [UInt8]) {
        #expect(LinkMessages.read(bytes[...]) == [])
        #expect(LinkMessages.read((link(type: 99, flags: [0, 0, 0, 0]) + bytes)[...]) == [])
    }

    @Test func `a receive buffer smaller than asked for is told, with what to do`() {
        let asked = MulticastSource.bufferBytes
        #expect(MulticastSource.warning(ofBuffer: 2 * asked) == nil)
        let words = """
            the receive buffer is 16383 KiB, not 16384: bursts may be dropped; raise net.core.rmem_max to 16777216
            """
        #expect(MulticastSource.warning(ofBuffer: 2 * asked - 2048) == words)
    }

    @Test func `refused input is told at once and then summed up once a minute`() {
        var notice = RefusalNotice()
        #expect(notice.update(0, at: ms(0)) == nil)
        #expect(!notice.isRecent(at: ms(0)))
        #expect(notice.update(1, at: ms(1000)) == 1)
        #expect(notice.update(5, at: ms(2000)) == nil)
        #expect(notice.isRecent(at: ms(6999)))
        #expect(!notice.isRecent(at: ms(7000)))
        #expect(notice.update(9, at: ms(60_999)) == nil)
        #expect(notice.update(9, at: ms(61_000)) == 8)
        #expect(notice.update(9, at: ms(200_000)) == nil)
        // Another engine took over.
        #expect(notice.update(2, at: ms(201_000)) == 2)
    }

    @Test func `an entry about refused input says where and why, and whose it is`() throws {
        let feed = FeedOptions(name: "md", feedProtocol: .moldUDP64, keys: .itch50, policy: .hotHot)
        var refused = RefusedInput()
        #expect(RefusalEntry(1, packetsOf: "A", feed, refused) == nil)
        refused.add(MalformedInput(.truncated, offset: 20, wanted: 11, found: 2), length: 24)
        let one = try #require(RefusalEntry(1, packetsOf: "A", feed, refused))
        #expect(
            one.message.hasPrefix(
                "path A of feed md: a packet was refused of 24 bytes, offset 20: truncated, 11 bytes wanted, 2 left, which is no moldudp64; see whether"
            ))
        #expect(
            one.fields.mapValues { "\($0)" } == [
                "reason": "truncated", "offset": "20", "length": "24", "refused": "1",
            ])
        let more = try #require(RefusalEntry(7, packetsOf: "A", feed, refused))
        #expect(
            more.message.hasPrefix("path A of feed md: 7 packets were refused, the last one of 24 bytes,"))
    }

    @Test func `the loss alarm raises at 1 percent and clears below a half`() {
        var alarm = LossAlarm()
        alarm.update(received: 9_900, missed: 100)
        #expect(alarm.isRaised)
        #expect(alarm.ratio == 0.01)
        alarm.update(received: 19_830, missed: 170)
        #expect(alarm.isRaised)
        alarm.update(received: 29_826, missed: 174)
        #expect(!alarm.isRaised)
        // A few messages prove nothing.
        alarm.update(received: 29_836, missed: 200)
        #expect(!alarm.isRaised)
    }

    @Test func `what was lost is told no longer when nothing has come for a minute`() {
        var alarm = LossAlarm()
        alarm.update(received: 9_900, missed: 100)
        for _ in 0..<59 { alarm.update(received: 9_900, missed: 100) }
        #expect(alarm.isRaised && alarm.ratio == 0.01)
        alarm.update(received: 9_900, missed: 100)
        #expect(!alarm.isRaised && alarm.ratio == 0)
        alarm.update(received: 19_700, missed: 300)
        #expect(alarm.isRaised)
    }
}
