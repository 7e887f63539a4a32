// A replica in temporary folders: pulled from a journal in pieces, and in the end the same files; what is damaged on the
// way or torn here is pulled again, what is damaged over there is known here.
import Basics
import FeedJournal
import Glibc
import Linux
import Testing
import Wire

@testable import JournalFiles

/// A journal, and a replica of it that pulls as often as it is told.
final class Pair {
    let path: String
    let plan: JournalPlan
    let replicaPlan: ReplicaPlan
    var tail: JournalTail?
    /// Where an attempt to open the journal found its end.
    var end: JournalEnd?
    var machine = ReplicaMachine(at: .zero)
    var replica: ReplicaTail?
    var summaries = SegmentSummaries()
    var now = Instant.zero
    var cuts: [String] = []
    var damages: [String] = []
    /// What is done to bytes on their way.
    var spoil: ([UInt8]) -> [UInt8] = { $0 }
    static let wall = WallTime(nanoseconds: 1_767_355_200_000_000_000)

    /// - Parameter longest: how long the replica keeps a segment.
    init(longest: Duration = .seconds(1_000_000_000), mostBytes: Int = 1 << 30) {
        var template = Array("/tmp/hfreplica-XXXXXX".utf8CString)
        path = unsafe String(cString: mkdtemp(&template))
        plan = JournalPlan(
            folder: ChannelFolder(root: path + "/a", feed: "itch", channel: 0), feed: "itch", channel: 0,
            run: 9, retention: Retention(mostBytes: 1 << 30, longest: .seconds(1_000_000_000)))
        replicaPlan = ReplicaPlan(
            folder: ChannelFolder(root: path + "/b", feed: "itch", channel: 0), feed: "itch", channel: 0,
            retention: Retention(mostBytes: mostBytes, longest: longest))
        perform(.open)
    }

    deinit { remove(path) }

    private func remove(_ path: String) {
        for name in (try? Files.names(in: path)) ?? [] {
            let entry = "\(path)/\(name)"
            if Files.isFolder(entry) { remove(entry) } else { unsafe unlink(entry) }
        }
        unsafe rmdir(path)
    }

    func perform(_ job: JournalJob) {
        var job = job
        let result = JournalTail.perform(&job, tail, plan, at: now, wall: Pair.wall)
        tail = result.tail
        end = result.end ?? end
    }

    func write(_ sequences: ClosedRange<UInt64>, body: Int = 3, turns: Bool = false) {
        var batch = RecordBatch()
        for sequence in sequences {
            var frame: [UInt8] = []
            FrameHeader(
                kind: .data, feed: 0, channel: 0, epoch: 7, sequence: sequence, state: .live,
                receiveTime: Pair.wall + .milliseconds(Int64(sequence))
            ).encode(
                topic: Array("md/itch/AAPL/".utf8)[...], body: [UInt8](repeating: 1, count: body)[...],
                into: &frame)
            batch.append(.frame, frame, topicLength: 13)
        }
        perform(turns ? .turn(batch, sync: false) : .write(batch, sync: false))
    }

    /// Lets the replica work until it has everything, or does not go on.
    func pull() throws {
        for _ in 0..<100 {
            guard let action = machine.next(at: now) else { return }
            try perform(action)
        }
    }

    private func perform(_ action: ReplicaMachine.Action) throws {
        switch action {
        case .perform(let job):
            let result = ReplicaTail.perform(job, replica, replicaPlan, at: now, wall: Pair.wall)
            replica = result.tail
            if let cut = result.cut { cuts.append(cut) }
            damages += result.damages.map(\.description)
            machine.finished(result.outcome, at: now)
        case .ask:
            let request = PullRequest(
                feed: "itch", channel: 0, place: machine.position.place,
                messages: machine.position.messages, replica: "b")
            let reader =
                if let tail {
                    PullReader(request, in: plan.folder, tail: tail)
                } else {
                    PullReader(request, in: plan.folder, end: try #require(end))
                }
            let findings = reader.read(&summaries)
            if let next = machine.answered(findings.body, spoil(findings.bytes), at: now) {
                try perform(next)
            }
        }
    }

    /// The replica is killed, and starts again.
    func restartReplica() throws {
        replica = nil
        machine = ReplicaMachine(at: now)
        try pull()
    }

    /// Segment 1 is pulled, loses its end over there in a power cut, and is pulled again.
    func loseEnd() throws {
        write(1...10)
        let size = try Files.size(of: plan.folder.segment(1))
        write(11...20)
        try pull()
        tail = nil
        try Files.cut(plan.folder.segment(1), to: size)
        perform(.open)
        write(21...22)
        now = now + .seconds(1)
        try pull()
        try expectEqual()
    }

    func contents(_ folder: ChannelFolder) throws -> [[UInt8]] {
        try folder.segments().map { try Files.read(folder.segment($0), limit: 1 << 26) }
    }

    func expectEqual() throws {
        let (ours, theirs) = (try contents(plan.folder), try contents(replicaPlan.folder))
        #expect(ours.map(\.count) == theirs.map(\.count))
        #expect(ours == theirs)
        #expect(machine.lag.messages == 0)
        #expect(machine.trouble == nil, "\(machine.trouble ?? "")")
    }
}

extension DiskTests {
    @Suite struct ReplicaTailTests {
        @Test func `a replica is the journal, byte for byte, over segments and restarts of both`() throws {
            let pair = Pair()
            pair.write(1...700, body: 900)
            try pair.pull()
            try pair.expectEqual()
            pair.write(701...710, turns: true)
            pair.now = pair.now + .seconds(1)
            try pair.pull()
            try pair.expectEqual()
            try pair.restartReplica()
            pair.write(711...720)
            pair.tail = nil
            pair.perform(.open)
            pair.write(721...722)
            pair.now = pair.now + .seconds(1)
            try pair.pull()
            try pair.expectEqual()
            #expect(try pair.replicaPlan.folder.segments() == [1, 2, 3])
            #expect(pair.machine.missed == 0)
        }

        @Test func `messages of a segment that cannot be read now are counted when it can`() throws {
            let pair = Pair()
            for first in [1, 11, 21] as [UInt64] { pair.write(first...(first + 9), turns: true) }
            let folder = pair.plan.folder
            #expect(try folder.segments() == [1, 2, 3, 4])
            let (segment, aside) = (folder.segment(3), pair.path + "/aside")
            #expect(rename(segment, aside) == 0 && mkdir(segment, 0o750) == 0)
            unlink(folder.index(3))
            let request = PullRequest(
                feed: "itch", channel: 0, place: PullRequest.Place(segment: 2, offset: 0), messages: 0,
                replica: "b")
            let tail = try #require(pair.tail)
            var summaries = SegmentSummaries()
            _ = PullReader(request, in: folder, tail: tail).read(&summaries)
            #expect(summaries.known.mapValues(\.messages) == [2: 10])
            #expect(rmdir(segment) == 0 && rename(aside, segment) == 0)
            let findings = PullReader(request, in: folder, tail: tail).read(&summaries)
            guard case .bytes(let pulled) = findings.body else {
                Issue.record("\(findings.body)")
                return
            }
            #expect(pulled.behind == 30 && summaries.known.mapValues(\.messages) == [2: 10, 3: 10])
        }

        @Test func `what is behind is not guessed while a segment without an index is read for it`() throws {
            let pair = Pair()
            pair.write(1...3000)
            pair.write(3001...3010, turns: true)
            let folder = pair.plan.folder
            let segment = try #require(try folder.segments().first)
            let index = folder.index(segment)
            unlink(index)
            let request = PullRequest(
                feed: "itch", channel: 0, place: PullRequest.Place(segment: segment, offset: 0), messages: 0,
                replica: "b")
            let reader = PullReader(request, in: folder, tail: try #require(pair.tail), mostRead: 1)
            var summaries = SegmentSummaries()
            var findings = reader.read(&summaries)
            var times = 0
            while case .refused(let why, let retryAfter, _) = findings.body, times < 100 {
                #expect(why.contains("has no index") && retryAfter == .milliseconds(100))
                #expect(findings.bytes == [] && findings.cost > 0)
                times += 1
                findings = reader.read(&summaries)
            }
            #expect(times > 0)
            guard case .bytes(let pulled) = findings.body else {
                Issue.record("\(findings.body)")
                return
            }
            #expect(pulled.behind == 3010 && findings.bytes.count == pulled.size)
            #expect(Files.exists(index))
        }

        @Test func `what is damaged on the way comes again, and nothing of it is written`() throws {
            let pair = Pair()
            pair.write(1...10)
            try pair.pull()
            pair.write(11...20)
            var times = 0
            pair.spoil = { bytes in
                var bytes = bytes
                times += 1
                if times == 1, !bytes.isEmpty { bytes[bytes.count - 1] ^= 1 }
                return bytes
            }
            pair.now = pair.now + .seconds(1)
            try pair.pull()
            try pair.expectEqual()
            #expect(times >= 2 && pair.damages == [] && pair.machine.damaged == 0)
        }

        @Test func `bytes that are damaged in another way each time are refused by record and sequence`()
            throws
        {
            let pair = Pair()
            pair.write(1...10)
            try pair.pull()
            pair.write(11...20)
            var times: UInt8 = 0
            pair.spoil = { bytes in
                var bytes = bytes
                times += 1
                if !bytes.isEmpty { bytes[bytes.count - 1] ^= times }
                return bytes
            }
            pair.now = pair.now + .seconds(1)
            try pair.pull()
            let trouble = pair.machine.trouble ?? ""
            #expect(trouble.hasPrefix("segment 1: record 19 (sequence 20) at byte"), "\(trouble)")
            #expect(trouble.hasSuffix("differs each time"))
            #expect(pair.machine.position.messages == 10)
            pair.spoil = { $0 }
            pair.now = pair.now + .seconds(3)
            try pair.pull()
            try pair.expectEqual()
            #expect(pair.damages == [])
        }

        @Test func `what is damaged over there is the same here, named, and it goes on behind it`() throws {
            let pair = Pair()
            pair.write(1...700, body: 900)
            let path = pair.plan.folder.segment(1)
            var bytes = try Files.read(path, limit: 1 << 26)
            bytes[1000] ^= 1
            bytes[300_000] ^= 1
            bytes[bytes.count - 1] ^= 1
            try Files.write(bytes, to: path, Files.Attributes(mode: 0o640), replacing: true, durably: false)
            try pair.pull()
            try pair.expectEqual()
            #expect(pair.machine.damaged == 3 && pair.damages.count == 3)
            #expect(pair.damages[0].hasPrefix("segment 1: record 0 (sequence 1) at byte"))
            #expect(pair.damages[1].hasSuffix("; sequence 305 is missing"), "\(pair.damages)")
            #expect(pair.damages[2].hasPrefix("segment 1: record 699 (sequence 700) at byte"))
            // The journal goes on, here with the next segment, which is chained to what the first one was.
            pair.write(701...710)
            pair.write(711...720, turns: true)
            pair.now = pair.now + .seconds(1)
            try pair.pull()
            try pair.expectEqual()
            #expect(pair.machine.damaged == 3 && pair.machine.missed == 0)
            #expect(try pair.replicaPlan.folder.segments() == [1, 2])
        }

        @Test func `a replica that starts anew on damage names it again, and has everything again`() throws {
            let pair = Pair()
            pair.write(1...20)
            let path = pair.plan.folder.segment(1)
            var bytes = try Files.read(path)
            bytes[bytes.count / 2] ^= 1
            try Files.write(bytes, to: path, Files.Attributes(mode: 0o640), replacing: true, durably: false)
            try pair.pull()
            try pair.expectEqual()
            let damages = pair.damages
            try pair.restartReplica()
            try pair.expectEqual()
            #expect(damages.count == 1 && pair.damages == damages + damages && pair.cuts.count == 1)
            pair.write(21...22, turns: true)
            pair.now = pair.now + .seconds(1)
            try pair.pull()
            try pair.expectEqual()
        }

        @Test func `a segment whose header is damaged is pulled with the records behind it`() throws {
            let pair = Pair()
            pair.write(1...10)
            pair.write(11...20, turns: true)
            let path = pair.plan.folder.segment(1)
            var bytes = try Files.read(path)
            bytes[30] ^= 1
            try Files.write(bytes, to: path, Files.Attributes(mode: 0o640), replacing: true, durably: false)
            try pair.pull()
            try pair.expectEqual()
            #expect(pair.damages.first == "segment 1: header: its checksum does not fit")
            #expect(pair.machine.messages == 20)
            // Damaged when it was here already, it is no other one.
            let last = pair.plan.folder.segment(2)
            bytes = try Files.read(last)
            bytes[30] ^= 1
            try Files.write(bytes, to: last, Files.Attributes(mode: 0o640), replacing: true, durably: false)
            pair.write(21...30, turns: true)
            pair.now = pair.now + .seconds(1)
            try pair.pull()
            #expect(pair.machine.trouble == nil && pair.machine.lag.messages == 0)
            #expect(try pair.replicaPlan.folder.segments() == [1, 2, 3])
        }

        @Test func `a segment that is chained to another one is refused`() throws {
            let pair = Pair()
            pair.write(1...10)
            try pair.pull()
            pair.write(11...12, turns: true)
            // Whoever changes a closed segment over there changes what the next one is chained to.
            let path = pair.replicaPlan.folder.segment(1)
            var bytes = try Files.read(path)
            let header = try SegmentHeader(parsing: bytes[...], fastestCRC)
            bytes = Array(bytes.prefix(header.encoded(fastestCRC).count))
            var other = RecordBatch()
            other.append(.directory, [9, 9, 9, 9, 9, 9, 9, 9], topicLength: 0)
            let size = try Files.size(of: path)
            other.append(
                .directory, [UInt8](repeating: 0, count: size - bytes.count - 16 - 24), topicLength: 0)
            bytes += other.sealed(at: bytes.count, fastestCRC) { _, _ in }
            #expect(bytes.count == size)
            try Files.write(bytes, to: path, Files.Attributes(mode: 0o640), replacing: true, durably: false)
            pair.now = pair.now + .seconds(1)
            try pair.restartReplica()
            #expect(
                pair.machine.trouble?.hasPrefix("segment 2 is chained to another segment 1 than the one here")
                    == true,
                "\(pair.machine.trouble ?? "")")
            #expect(try pair.replicaPlan.folder.segments() == [1])
        }

        @Test func `a torn or damaged end is cut and pulled again`() throws {
            let pair = Pair()
            pair.write(1...10)
            try pair.pull()
            let path = pair.replicaPlan.folder.segment(1)
            let size = try Files.size(of: path)
            pair.replica = nil
            try Files.cut(path, to: size - 5)
            try pair.restartReplica()
            #expect(pair.cuts.count == 1)
            try pair.expectEqual()
            var bytes = try Files.read(path)
            bytes[size - 200] ^= 1
            pair.replica = nil
            try Files.write(bytes, to: path, Files.Attributes(mode: 0o640), replacing: true, durably: false)
            try pair.restartReplica()
            #expect(pair.cuts.count == 2)
            try pair.expectEqual()
            pair.replica = nil
            try Files.cut(path, to: 20)
            try pair.restartReplica()
            try pair.expectEqual()
        }

        @Test func `what the other gateway lost in a power cut is kept beside the segment`() throws {
            let pair = Pair()
            try pair.loseEnd()
            #expect(pair.cuts.count == 1)
            #expect(Files.exists(pair.replicaPlan.folder.segment(1) + ".surplus"))
        }

        @Test func `a journal that begins again elsewhere is another one`() throws {
            let pair = Pair()
            for _ in 0..<3 { pair.write(1...10, turns: true) }
            try pair.pull()
            pair.tail = nil
            for number in try pair.plan.folder.segments() {
                try Files.remove(pair.plan.folder.segment(number))
            }
            pair.perform(.open)
            pair.write(1...2)
            pair.now = pair.now + .seconds(1)
            try pair.pull()
            #expect(pair.machine.trouble?.contains("the journal there is another one") == true)
            #expect(try pair.replicaPlan.folder.segments() == [1, 2, 3, 4])
        }

        @Test func `its segments go by their age also while nothing comes`() throws {
            let pair = Pair(longest: .seconds(3600))
            for _ in 0..<3 { pair.write(1...10, turns: true) }
            try pair.pull()
            // A clock that is set makes nothing old.
            for (years, hours, left) in [(0, 0, [1, 2, 3, 4]), (1, 0, [1, 2, 3, 4]), (0, 2, [4])]
                as [(Int64, Int64, [UInt64])]
            {
                let wall = Pair.wall + .seconds(years * 366 * 86400 + hours * 3600)
                let result = ReplicaTail.perform(
                    .expire, pair.replica, pair.replicaPlan, at: pair.now + .seconds(3600 * hours), wall: wall
                )
                guard case .done = result.outcome else { return #expect(Bool(false)) }
                #expect(try pair.replicaPlan.folder.segments() == left)
            }
        }

        @Test func `while the disk is full it says so and how much is missing, and then it catches up`()
            throws
        {
            let pair = Pair()
            pair.write(1...10)
            try pair.pull()
            let size = try Files.size(of: pair.replicaPlan.folder.segment(1))
            for (last, behind) in [(15 as UInt64, 5 as UInt64), (20, 10), (25, 15)] {
                pair.write(last - 4...last)
                pair.now = pair.now + .seconds(2)
                try withFiles(ofAtMost: size + 50) { try pair.pull() }
                #expect(pair.machine.trouble?.contains("File too large") == true)
                #expect(pair.machine.lag.messages == behind)
                #expect(pair.machine.lag.time(at: pair.now, wall: Pair.wall + .seconds(60)) > .seconds(1))
                #expect(try Files.size(of: pair.replicaPlan.folder.segment(1)) == size)
            }
            pair.now = pair.now + .seconds(2)
            try pair.pull()
            #expect(pair.machine.trouble == nil && pair.machine.lag.messages == 0)
            try pair.expectEqual()
        }

        @Test func `a full disk lets go of what is too old in a replica as well, at once`() throws {
            let pair = Pair(longest: .seconds(3600))
            for _ in 0..<3 { pair.write(1...10, turns: true) }
            try pair.pull()
            pair.now = pair.now + .seconds(3500)
            try pair.pull()
            #expect(try pair.replicaPlan.folder.segments() == [1, 2, 3, 4])
            pair.write(11...40)
            pair.now = pair.now + .seconds(200)
            try withFiles(ofAtMost: 1200) { try pair.pull() }
            #expect(pair.machine.trouble != nil)
            #expect(try pair.replicaPlan.folder.segments() == [4])
            pair.now = pair.now + .seconds(2)
            try pair.pull()
            #expect(pair.machine.trouble == nil && pair.machine.lag.messages == 0)
        }

        @Test func `what a replica keeps counts the segment that is written to`() throws {
            let pair = Pair(mostBytes: 2500)
            for _ in 0..<3 { pair.write(1...20, turns: true) }
            try pair.pull()
            let kept = try pair.replicaPlan.folder.segments()
            let bytes = try kept.reduce(0) { try $0 + Files.size(of: pair.replicaPlan.folder.segment($1)) }
            #expect(bytes <= 2500 && kept == [4])
        }

        @Test(arguments: [false, true])
        func `what a journal has that cannot be opened on a full disk is pulled all the same`(
            isTorn: Bool
        ) throws {
            let pair = Pair()
            pair.write(1...10)
            pair.write(11...20, turns: true)
            try pair.pull()
            pair.write(21...30)
            pair.tail = nil
            let last = pair.plan.folder.segment(2)
            if isTorn { try Files.cut(last, to: try Files.size(of: last) - 1) }
            withFiles(ofAtMost: 10) { pair.perform(.open) }
            #expect(pair.tail == nil && pair.end?.segment == 2)
            pair.now = pair.now + .seconds(2)
            try pair.pull()
            #expect(pair.machine.trouble == nil && pair.machine.lag.messages == 0)
            #expect(pair.machine.position.messages == (isTorn ? 19 : 20))
            #expect(pair.machine.lag.coveredAt == pair.now)
            // And behind it, once there is room.
            pair.perform(.open)
            pair.write(31...35)
            pair.now = pair.now + .seconds(2)
            try pair.pull()
            try pair.expectEqual()
        }

        @Test func `segments that expired before they were pulled are counted`() throws {
            let pair = Pair()
            for _ in 0..<4 { pair.write(1...10, turns: true) }
            try Files.remove(pair.plan.folder.segment(1))
            try pair.pull()
            #expect(try pair.replicaPlan.folder.segments() == [2, 3, 4, 5])
            try Files.remove(pair.plan.folder.segment(4))
            pair.replica = nil
            for number: UInt64 in [3, 4, 5] { try Files.remove(pair.replicaPlan.folder.segment(number)) }
            try pair.restartReplica()
            #expect(pair.machine.missed == 1)
            #expect(try pair.replicaPlan.folder.segments() == [2, 3, 5])
        }
    }
}
