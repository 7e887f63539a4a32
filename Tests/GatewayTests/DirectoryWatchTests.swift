// The file of a session's directory as a dialogue: what was found in, what is done and said out.
import Basics
import FeedProtocols
import Foundation
import Linux
import Testing

@testable import Gateway

@Suite struct DirectoryWatchTests {
    private let units = [MoldVenue().directory(1, "AAPL")]
    /// A Monday, 2026-01-05, at an hour in UTC.
    private func monday(_ hour: Int64) -> WallTime {
        WallTime(nanoseconds: (1_767_571_200 + hour * 3600) * 1_000_000_000)
    }

    private func stamp(_ modified: WallTime, size: Int64 = 100) -> FileStamp {
        FileStamp(device: 1, inode: 2, size: size, modified: modified)
    }

    @Test func `a file of this day is taken`() {
        var watch = DirectoryWatch("/d", calendar: nil)
        #expect(watch.take(.read(stamp(monday(0)), units), at: monday(23)) == .learn(units))
    }

    @Test func `what is wrong with it is said once, and again when it is something else`() {
        var watch = DirectoryWatch("/d", calendar: nil)
        #expect(watch.take(.failed("stat /d: No such file"), at: monday(9)) == .tell("stat /d: No such file"))
        #expect(watch.take(.failed("stat /d: No such file"), at: monday(9)) == .nothing)
        let short = stamp(monday(9), size: 1)
        let step = watch.take(.malformed(short, "is no BinaryFILE"), at: monday(9))
        #expect(step == .tell("/d is no BinaryFILE"))
        #expect(watch.known == short)
        #expect(watch.take(.unchanged, at: monday(9)) == .nothing)
        #expect(watch.take(.read(stamp(monday(9)), units), at: monday(9)) == .learn(units))
    }

    @Test func `yesterday's is refused until it is written anew`() {
        var watch = DirectoryWatch("/d", calendar: nil)
        let old = stamp(monday(-1))
        #expect(
            watch.take(.read(old, units), at: monday(9))
                == .tell("/d is of 2026-01-04T23:00:00.000000Z, another session: write it anew in this one"))
        #expect(watch.known == old)
        #expect(watch.take(.read(stamp(monday(9)), units), at: monday(9)) == .learn(units))
    }

    @Test func `whose session it is the calendar says`() throws {
        // From 23:00 to 22:00 on the next day, without an offset.
        var zone = ByteWriter()
        for counts in [[0, 0, 0, 0, 1, 4], [0, 0, 0, 0, 1, 4]] as [[UInt32]] {
            zone.append(Array("TZif2".utf8) + [UInt8](repeating: 0, count: 15))
            for count in counts { zone.bigEndian(count) }
            zone.append([UInt8](repeating: 0, count: 10))
        }
        zone.append(Array("\nUTC0\n".utf8))
        let calendar = SessionCalendar(
            zone: "UTC", rules: try ZoneRules(zone.bytes), days: Set(Weekday.allCases),
            hours: [SessionHours(opens: 23 * 60, closes: 22 * 60)])
        var watch = DirectoryWatch("/d", calendar: calendar)
        #expect(watch.take(.read(stamp(monday(-1)), units), at: monday(9)) == .learn(units))
        // Of the session before, which ended an hour later.
        #expect(watch.take(.read(stamp(monday(-3)), units), at: monday(9)) != .learn(units))
    }

    @Test func `what the feed contradicts is not read again`() {
        var watch = DirectoryWatch("/d", calendar: nil)
        let reading = DirectoryReading.read(stamp(monday(9)), units)
        #expect(watch.take(reading, at: monday(9)) == .learn(units))
        #expect(
            watch.refused(reading, because: "locate 1 is AAPL in it, and MSFT on the feed")
                == .tell("/d is another session's: locate 1 is AAPL in it, and MSFT on the feed"))
        #expect(watch.known == stamp(monday(9)))
    }

    @Test func `after one was taken, the next session's is looked at anew`() {
        var watch = DirectoryWatch("/d", calendar: nil)
        #expect(watch.take(.failed("gone"), at: monday(9)) == .tell("gone"))
        watch.taken()
        #expect(watch.known == nil)
        #expect(watch.take(.failed("gone"), at: monday(9)) == .tell("gone"))
    }

    @Test func `a real file is read, and none that could be waited for forever`() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appendingPathComponent("d").path
        func reading(_ bytes: [UInt8]) throws -> DirectoryReading {
            try Data(bytes).write(to: URL(fileURLWithPath: path))
            return DirectoryReading.look(at: path, unless: nil)
        }
        guard case .failed(let why) = DirectoryReading.look(at: path, unless: nil) else {
            Issue.record("there is nothing")
            return
        }
        #expect(why.contains(path))
        let venue = MoldVenue()
        let file = ITCH50Directory.file(of: [
            venue.delete(1), venue.directory(2, "OLD"), venue.directory(1, "A"), venue.directory(2, "B"),
        ])
        guard case .read(let stamp, let units) = try reading(file) else {
            Issue.record("it is a directory")
            return
        }
        #expect(units == [venue.directory(1, "A"), venue.directory(2, "B")])
        guard case .unchanged = DirectoryReading.look(at: path, unless: stamp) else {
            Issue.record("it is known")
            return
        }
        for (bytes, words) in [
            (Array(file.dropLast()), "truncated"), ([0, 3, 1, 2, 3], "truncated"),
            (ITCH50Directory.file(of: [venue.delete(1)]), "no stock directory message"), ([], "no stock"),
        ] {
            guard case .malformed(_, let why) = try reading(bytes) else {
                Issue.record("\(bytes.count) bytes were taken")
                continue
            }
            #expect(why.contains(words), "\(why)")
        }
        let device = DirectoryReading.look(at: "/dev/null", unless: nil)
        guard case .malformed(_, "is not a regular file") = device else {
            Issue.record("a device was read")
            return
        }
    }
}
