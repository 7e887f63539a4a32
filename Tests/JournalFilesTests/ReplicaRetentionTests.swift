// What a replica has of segments that go: over there before all of them was pulled, and here when they are too old.
import Basics
import FeedJournal
import Glibc
import Linux
import Testing

@testable import JournalFiles

extension DiskTests.ReplicaTailTests {
    /// What `holdfast verify` says of the replica.
    private func faults(_ pair: Pair) throws -> [String] {
        var chain = SegmentChain(fastestCRC)
        let folder = pair.replicaPlan.folder
        for (number, bytes) in zip(try folder.segments(), try pair.contents(folder)) {
            chain.begin(number)
            chain.take(bytes)
            chain.end()
        }
        return chain.faults.map(\.description)
    }

    @Test(arguments: [false, true])
    func `behind a segment that went before its end was pulled it goes on, and says what is missing`(
        restarts: Bool
    ) throws {
        let pair = Pair()
        pair.write(1...10)
        try pair.pull()
        let size = try Files.size(of: pair.replicaPlan.folder.segment(1))
        pair.write(11...20)
        pair.write(21...30, turns: true)
        try Files.remove(pair.plan.folder.segment(1))
        pair.now = pair.now + .seconds(1)
        if restarts { try pair.restartReplica() } else { try pair.pull() }
        #expect(pair.machine.trouble == nil, "\(pair.machine.trouble ?? "")")
        #expect(try pair.replicaPlan.folder.segments() == [1, 2])
        #expect(pair.machine.missed == 1 && pair.machine.lag.messages == 0)
        let told =
            "segment 1 was gone over there before its end was pulled: whatever stood behind byte \(size) of it is missing here"
        #expect(pair.cuts == [told])
        let found = try faults(pair)
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix("segment 2: the segment before it was changed") == true)
        // Once, and it goes on.
        pair.write(31...35)
        pair.write(36...40, turns: true)
        pair.now = pair.now + .seconds(1)
        try pair.pull()
        try pair.restartReplica()
        #expect(pair.machine.trouble == nil && pair.machine.lag.messages == 0 && pair.cuts == [told])
        #expect(try pair.replicaPlan.folder.segments() == [1, 2, 3])
    }

    @Test(arguments: [false, true])
    func `an end that went together with the next segment is missing as well`(restarts: Bool) throws {
        let pair = Pair()
        pair.write(1...10)
        try pair.pull()
        pair.write(11...20)
        for first in [21, 31] as [UInt64] { pair.write(first...(first + 9), turns: true) }
        for number in [1, 2] as [UInt64] { try Files.remove(pair.plan.folder.segment(number)) }
        pair.now = pair.now + .seconds(1)
        if restarts { try pair.restartReplica() } else { try pair.pull() }
        #expect(pair.machine.trouble == nil && pair.machine.missed == 2 && pair.cuts.count == 1)
        #expect(try pair.replicaPlan.folder.segments() == [1, 3])
    }

    @Test(arguments: [false, true])
    func `of a segment that is here whole when it goes over there nothing is missing`(restarts: Bool) throws {
        let pair = Pair()
        pair.write(1...10)
        try pair.pull()
        pair.write(11...20, turns: true)
        try Files.remove(pair.plan.folder.segment(1))
        pair.now = pair.now + .seconds(1)
        if restarts { try pair.restartReplica() } else { try pair.pull() }
        #expect(pair.machine.trouble == nil && pair.machine.missed == 0 && pair.cuts == [])
        #expect(try pair.replicaPlan.folder.segments() == [1, 2] && faults(pair) == [])
    }

    @Test func `an old segment that somebody has removed keeps no other one, and one that stays is told`()
        throws
    {
        let pair = Pair(longest: .seconds(3600))
        for _ in 0..<4 { pair.write(1...10, turns: true) }
        try pair.pull()
        let folder = pair.replicaPlan.folder
        for number in [1, 2] as [UInt64] { try Files.remove(folder.segment(number)) }
        // Which is no file that could be removed.
        try Files.makeFolder(folder.segment(2), mode: 0o750)
        let later = pair.now + .seconds(7200)
        var result = ReplicaTail.perform(
            .expire, pair.replica, pair.replicaPlan, at: later, wall: Pair.wall)
        #expect(result.notRemoved?.contains(folder.segment(2)) == true, "\(result.notRemoved ?? "")")
        #expect(try folder.segments() == [2, 3, 4, 5] && !Files.exists(folder.index(1)))
        #expect(rmdir(folder.segment(2)) == 0)
        result = ReplicaTail.perform(.expire, result.tail, pair.replicaPlan, at: later, wall: Pair.wall)
        #expect(try result.notRemoved == nil && folder.segments() == [5])
    }

    @Test func `what is kept of a segment that became shorter over there goes with it`() throws {
        let pair = Pair(longest: .seconds(3600))
        try pair.loseEnd()
        let folder = pair.replicaPlan.folder
        #expect(Files.exists(folder.surplus(1)))
        _ = ReplicaTail.perform(
            .expire, pair.replica, pair.replicaPlan, at: pair.now + .seconds(7200), wall: Pair.wall)
        #expect(try Files.names(in: folder.path) == [SegmentName.file(2)])
    }

    @Test func `a segment that becomes shorter once more over there costs nothing that was kept`() throws {
        let pair = Pair()
        let (theirs, ours) = (pair.plan.folder.segment(1), pair.replicaPlan.folder.segment(1))
        var sizes: [Int] = []
        for first in [1, 11, 21] as [UInt64] {
            pair.write(first...(first + 9))
            sizes.append(try Files.size(of: theirs))
        }
        try pair.pull()
        let bytes = try Files.read(ours)
        let surplus = pair.replicaPlan.folder.surplus(1)
        // From an attempt that ended before the segment was cut.
        try Files.write(
            Array(bytes[sizes[1]...]), to: surplus, Files.Attributes(mode: 0o640), replacing: false,
            durably: false)
        for size in [sizes[1], sizes[0]] {
            pair.tail = nil
            try Files.cut(theirs, to: size)
            // A full disk: no other segment is begun behind it.
            withFiles(ofAtMost: 10) { pair.perform(.open) }
            pair.now = pair.now + .seconds(2)
            try pair.pull()
            #expect(pair.machine.trouble == nil, "\(pair.machine.trouble ?? "")")
            #expect(try Files.read(ours) == Array(bytes[..<size]))
            #expect(try Files.read(surplus) == Array(bytes[size...]))
        }
    }
}
