// What a journal does on a disk that is full, and what it keeps when the wall clock is set.
import Basics
import FeedJournal
import Linux
import Testing
import Wire

@testable import JournalFiles

extension DiskTests.TailTests {
    private func keeping(_ time: Duration) -> JournalPlan {
        plan { $0.retention = Retention(mostBytes: 1 << 30, longest: time) }
    }

    private func hasFailed(_ result: JournalResult) -> Bool {
        if case .failed = result.outcome { true } else { false }
    }

    @Test func `what is too old goes on a full disk as well, while the journal is written`() throws {
        let plan = keeping(.seconds(3600))
        let jobs: [JournalJob] = [.open, .write(batch(1...4), sync: false), .turn(batch(5...8), sync: false)]
        var tail = perform(jobs, plan).tail
        for (job, hours, left) in [
            (.turn(batch(9...9), sync: false), 1, [1, 2]), (.turn(batch(9...9), sync: false), 2, [2]),
        ] as [(JournalJob, Int64, [UInt64])] {
            let failed = perform([job], tail, plan: plan, filesOfAtMost: 100, after: .seconds(3600 * hours))
            #expect(hasFailed(failed))
            #expect(try plan.folder.segments() == left && failed.expired == 2 - left.count)
            tail = failed.tail
        }
        var result = perform([.turn(batch(9...9), sync: false)], plan, tail, after: .seconds(7200))
        #expect(try plan.folder.segments() == [2, 3])
        result = perform(
            [.write(batch(10...10), sync: false)], result.tail, plan: plan, filesOfAtMost: 100,
            after: .seconds(90_000))
        #expect(hasFailed(result) && result.expired == 1 && result.notRemoved == nil)
        #expect(try plan.folder.segments() == [3] && faults() == [])
    }

    @Test func `what is too old goes on a full disk as well, before the journal is opened`() throws {
        let plan = keeping(.seconds(3600))
        let jobs: [JournalJob] = [.open, .turn(batch(1...4), sync: false), .turn(batch(5...8), sync: false)]
        perform(jobs, plan)
        for number in try plan.folder.segments() {
            try Files.setModified(plan.folder.segment(number), wall + .seconds(-7200))
        }
        let failed = perform([.open], nil, plan: plan, filesOfAtMost: 10)
        #expect(hasFailed(failed) && failed.expired == 2)
        // By the last one the next one is numbered.
        #expect(try plan.folder.segments() == [3])
        #expect(perform([.open], plan).expired == 1)
        #expect(try plan.folder.segments() == [4])
    }

    @Test(arguments: [false, true])
    func `a journal that can be read and not be written tells once what it knows`(isTorn: Bool) throws {
        perform([.open, .write(batch(1...5), sync: false), .turn(batch(6...9), sync: false)], plan())
        let last = plan().folder.segment(2)
        if isTorn { try Files.cut(last, to: try Files.size(of: last) - 1) }
        var failed = perform([.open], nil, filesOfAtMost: 10)
        #expect(hasFailed(failed) && failed.tail == nil)
        #expect(failed.opening?.memory.last == (isTorn ? 8 : 9) && failed.opening?.memory.epoch == 7)
        #expect((failed.opening?.torn != nil) == isTorn)
        let known = try #require(failed.end)
        failed = perform([.open], nil, plan: plan { $0.known = known }, filesOfAtMost: 10)
        #expect(hasFailed(failed) && failed.opening == nil && failed.end == known)
        let result = perform([.open], plan { $0.known = known })
        #expect(result.tail?.number == 3 && result.opening == nil)
        #expect(try faults() == [])
    }

    @Test func `where somebody wrote meanwhile, what there is is told`() throws {
        perform([.open, .write(batch(1...5), sync: false)], plan())
        let known = try #require(perform([.open], nil, filesOfAtMost: 10).end)
        perform([.open, .write(batch(6...7), sync: false)], plan())
        let result = perform([.open], plan { $0.known = known })
        #expect(result.opening?.memory.last == 7 && result.tail?.number == 3)
        #expect(try faults() == [])
    }

    @Test func `a clock that is set makes nothing old`() throws {
        let plan = keeping(.seconds(3600))
        let jobs: [JournalJob] = [.open, .write(batch(1...4), sync: false), .turn(batch(5...8), sync: false)]
        var tail = perform(jobs, plan).tail
        let year = Duration.seconds(366 * 86400)
        for jump in [year, .zero - year] {
            let result = perform([.expire], plan, tail, after: .seconds(1), jump: jump)
            #expect(result.expired == 0)
            tail =
                perform(
                    [.turn(batch(9...9), sync: false)], plan, result.tail, after: .seconds(1), jump: jump
                ).tail
        }
        #expect(try plan.folder.segments() == [1, 2, 3, 4])
        #expect(perform([.expire], plan, tail, after: .seconds(3602)).expired == 3)
    }

    @Test func `reading begins with the first of a sequence also where each topic has its own`() throws {
        // A record of each topic in turn; the second one's numbers are far behind.
        var records = RecordBatch()
        for number in 1...300 as ClosedRange<UInt64> {
            for sequence in [1000 + number, number] {
                records.append(
                    .frame, frame(sequence, body: 500, flags: .numberedPerTopic), topicLength: 13)
            }
        }
        perform([.open, .write(records, sync: false), .turn(batch(1...1), sync: false)], plan())
        #expect(try plan().folder.readIndex(of: 1).entries.count > 2)
        #expect(try sequences(.sequence(250, epoch: 7)).first == 1001)
        #expect(try sequences(.sequence(1250, epoch: nil)).first == 1250)
    }
}
