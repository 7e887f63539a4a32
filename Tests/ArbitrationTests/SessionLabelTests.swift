// Sessions for protocols without one: who moves to another numbering, when, and who stays.
import Basics
import Testing

@testable import Arbitration

/// A channel's labels with time in milliseconds.
private final class Labels {
    /// 2026-01-02T12:00:00Z, a Friday.
    static let noon: Int64 = 1_767_355_200_000_000_000
    private(set) var labels: SessionLabels

    init(paths: Int = 2, last: UInt64? = nil, period: SessionLabels.Period = .day) {
        var options = SessionLabels.Options(paths: paths)
        options.last = last
        options.period = period
        labels = SessionLabels(options: options)
    }

    func take(
        _ first: UInt64, count: UInt64 = 1, resets: Bool = false, on path: Int = 0, at time: Int64
    ) -> String {
        let label = labels.label(
            first: first, count: count, resets: resets, path: path,
            receivedAt: WallTime(nanoseconds: Labels.noon + time * 1_000_000),
            at: Instant(nanoseconds: time * 1_000_000))
        return "\(label.session):\(label.first)"
    }
}

@Suite struct SessionLabelTests {
    @Test func `a numbering is named by its date, the same on both paths`() {
        let labels = Labels()
        #expect(labels.take(5, at: 0) == "20260102000000:5")
        #expect(labels.take(5, on: 1, at: 1) == "20260102000000:5")
    }

    @Test func `a reset moves its path at once and the other one when it brings it`() {
        let labels = Labels()
        _ = labels.take(1000, at: 0)
        _ = labels.take(1000, on: 1, at: 0)
        #expect(labels.take(1, resets: true, at: 10) == "20260102001000:1")
        #expect(labels.take(1001, on: 1, at: 11) == "20260102000000:1001")
        #expect(labels.take(2, at: 12) == "20260102001000:2")
        #expect(labels.take(1, resets: true, on: 1, at: 13) == "20260102001000:1")
        #expect(!labels.labels.isInferred)
    }

    @Test func `a copy of a reset is no other one, a later reset is`() {
        let labels = Labels(paths: 1)
        _ = labels.take(1000, at: 0)
        _ = labels.take(1, resets: true, at: 10)
        _ = labels.take(2, at: 11)
        #expect(labels.take(1, resets: true, at: 20) == "20260102001000:1")
        #expect(labels.take(3, at: 30) == "20260102001000:3")
        #expect(labels.take(1, resets: true, at: 2000) == "20260102002000:1")
    }

    @Test
    func `a number far ahead counts when another one is near it, so that a stray packet begins nothing anew`()
    {
        let labels = Labels(paths: 1)
        _ = labels.take(1000, at: 0)
        _ = labels.take(4_000_000_000, at: 10)
        for (number, time) in [(1001, 600), (1002, 610), (1003, 620), (1004, 630)] as [(UInt64, Int64)] {
            #expect(labels.take(number, at: time) == "20260102000000:\(number)")
        }
        _ = labels.take(4_000_000_000, at: 1200)
        _ = labels.take(4_000_000_001, at: 1210)
        for number: UInt64 in 1...2 { _ = labels.take(number, at: 2000 + Int64(number)) }
        #expect(labels.take(3, at: 2010) == "20260102001000:3")
    }

    @Test func `a reset within the numbers changes no numbering`() {
        let labels = Labels(paths: 1)
        _ = labels.take(1000, at: 0)
        #expect(labels.take(1001, resets: true, at: 10) == "20260102000000:1001")
    }

    @Test func `who missed the reset moves when its packets begin again`() {
        let labels = Labels()
        _ = labels.take(1000, at: 0)
        _ = labels.take(1000, on: 1, at: 0)
        _ = labels.take(1, resets: true, at: 10)
        #expect(labels.take(2, on: 1, at: 11) == "20260102001000:2")
    }

    @Test func `who was away takes up the numbering of the others`() {
        let labels = Labels()
        _ = labels.take(1000, at: 0)
        _ = labels.take(10, on: 1, at: 0)
        _ = labels.take(1, resets: true, at: 10)
        for number in 1...100 { _ = labels.take(UInt64(number * 20), at: 10 + Int64(number) * 10) }
        #expect(labels.take(2001, on: 1, at: 1100) == "20260102001000:2001")
    }

    @Test func `three packets that begin again after a silence are another numbering`() {
        let labels = Labels(paths: 1)
        _ = labels.take(1000, at: 0)
        // Heartbeats that announce 1.
        #expect(labels.take(1, count: 0, at: 1000) == "20260102000000:1")
        #expect(labels.take(1, count: 0, at: 2000) == "20260102000000:1")
        #expect(labels.take(1, count: 0, at: 3000) == "20260102001000:1")
        #expect(labels.labels.isInferred)
        #expect(labels.take(1, at: 4000) == "20260102001000:1")
    }

    @Test func `old packets while new ones come, or a few of them, move nobody`() {
        let labels = Labels(paths: 2)
        _ = labels.take(1000, at: 0)
        for number in 0..<50 {
            #expect(labels.take(UInt64(10 + number), on: 1, at: Int64(number)).hasPrefix("20260102000000:"))
            _ = labels.take(UInt64(1001 + number), at: Int64(number))
        }
        #expect(labels.take(5, at: 1000) == "20260102000000:5")
        #expect(labels.take(6, at: 1001) == "20260102000000:6")
        #expect(labels.take(1051, at: 1002) == "20260102000000:1051")
    }

    @Test func `after the last number comes 1, and the numbers go on`() {
        let last: UInt64 = 4_294_967_295
        let labels = Labels(last: last)
        #expect(labels.take(last - 1, count: 2, at: 0) == "20260102000000:4294967294")
        #expect(labels.take(1, at: 1) == "20260102000000:4294967296")
        // The other path is still before it, and follows.
        #expect(labels.take(last, on: 1, at: 2) == "20260102000000:4294967295")
        #expect(labels.take(1, on: 1, at: 3) == "20260102000000:4294967296")
        #expect(labels.take(2, count: 0, at: 4) == "20260102000000:4294967297")
    }

    @Test func `a week is named by its Sunday and begins on Saturday at noon`() {
        let day: Int64 = 86_400_000
        let labels = Labels(paths: 1, period: .week)
        #expect(labels.take(7, at: 0) == "20251228000000:7")
        #expect(labels.take(1, resets: true, at: 2 * day) == "20260104000000:1")
        func date(_ days: Int64) -> UInt64 {
            SessionLabels.date(of: WallTime(nanoseconds: Labels.noon + days * day * 1_000_000), .week)
        }
        #expect(date(0) == 20_251_228 && date(1) == 20_260_104 && date(7) == 20_260_104)
    }
}
