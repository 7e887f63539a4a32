// When a channel's sequences first came, on whatever path: of protocols whose packets bear no time, a path's delay is
// known from that alone. Not each packet's time is kept, so that a delay may be told as less than it is, never as more.
public import Basics

/// Where a channel was at some moments.
public struct FirstArrivals: Sendable {
    /// Moments are so far apart, or further the longer ago they are.
    static let every: Duration = .milliseconds(20)
    /// More are not kept: of two, one is given up.
    static let most = 128

    private var session: UInt64 = 0
    /// Ascending.
    private var marks: [(sequence: UInt64, at: WallTime)] = []
    private var latest: (sequence: UInt64, at: WallTime) = (0, WallTime(nanoseconds: 0))

    public init() {}

    /// A path brought a packet, of which this is the last sequence. Sessions ascend.
    public mutating func heard(_ sequence: UInt64, of session: UInt64, at: WallTime) {
        if session > self.session { (self.session, marks, latest.sequence) = (session, [], 0) }
        guard session == self.session, sequence > latest.sequence else { return }
        latest = (sequence, at)
        if let last = marks.last, at - last.at < FirstArrivals.every { return }
        marks.append(latest)
        if marks.count > FirstArrivals.most {
            marks = marks.indices.filter { $0 % 2 == 1 || $0 == marks.count - 1 }.map { marks[$0] }
        }
    }

    /// When a sequence had come at the latest; `nil`: it has not, or is of another session.
    public func arrival(of sequence: UInt64, session: UInt64) -> WallTime? {
        guard session == self.session, sequence <= latest.sequence else { return nil }
        var (low, high) = (0, marks.count)
        while low < high {
            let middle = (low + high) / 2
            if marks[middle].sequence < sequence { low = middle + 1 } else { high = middle }
        }
        return low < marks.count ? marks[low].at : latest.at
    }
}
