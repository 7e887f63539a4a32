// One reply's worth of last values, for a client that joins late.
import Arbitration
import Basics
package import Wire

/// Which last values are wanted of an engine.
package struct SnapshotWants {
    /// Instruments; `nil`: all.
    package var instruments: [String]?
    /// Where the page before left off.
    package var after: SnapshotRequest.Place?

    package init(instruments: [String]? = nil, after: SnapshotRequest.Place? = nil) {
        self.instruments = instruments
        self.after = after
    }

    /// Where to begin in a channel.
    func start(in channel: UInt16) -> Int {
        guard let after, after.channel == channel else { return 0 }
        return after.topic
    }
}

package struct SnapshotPage {
    /// What one reply holds at most.
    static let mostFrames = 5000
    static let mostBytes = 1 << 20
    /// Topics that are looked at for it at most.
    static let mostTopics = 50_000

    package private(set) var frames: [[UInt8]] = []
    private(set) var bytes = 0
    private var looked = 0
    /// Topics of which something was published, and nothing that is known to be their last value.
    package private(set) var without = 0
    /// Where to go on; `nil`: that was all.
    package var next: SnapshotRequest.Place?

    /// What it cost, as bytes: a topic that is looked at costs something, whether it has a value or not.
    var cost: Int { bytes + 16 * looked }

    init() {}

    var isFull: Bool {
        frames.count >= SnapshotPage.mostFrames || bytes >= SnapshotPage.mostBytes
            || looked >= SnapshotPage.mostTopics
    }

    mutating func look(_ frame: [UInt8]?, hasHistory: Bool) {
        looked += 1
        if let frame {
            frames.append(frame)
            bytes += frame.count
        } else if hasHistory {
            without += 1
        }
    }
}

/// How many last values a feed keeps.
package struct LastValueFigures: Hashable, Sendable {
    package var count = 0
    /// Reserved for them.
    package var bytes = 0
    /// Those for which there was no room.
    package var refused: UInt64 = 0

    static func + (left: LastValueFigures, right: LastValueFigures) -> LastValueFigures {
        LastValueFigures(
            count: left.count + right.count, bytes: left.bytes + right.bytes,
            refused: left.refused &+ right.refused)
    }
}
