// What all channels of a gateway may have waiting for the disk together: each has its own bound, and a disk that is full
// stops all of them at the same time.

/// Counts the bytes that wait, of all writers that share it.
public final class JournalBudget {
    /// More may not wait.
    public let most: Int
    /// Bytes that wait.
    public private(set) var waiting = 0
    /// Those of them that wait for what refuses them. They may have half of the room: a folder of a channel's own that
    /// cannot be written to stops no other channel.
    private var stuck = 0

    public init(most: Int) { self.most = most }

    func hasRoom(for bytes: Int, isStuck: Bool) -> Bool {
        waiting + bytes <= most && (!isStuck || stuck + bytes <= most / 2)
    }

    /// Whether a writer that found no room goes on: not with the first bytes that are free, or it would stop again at
    /// once.
    var isEased: Bool { waiting <= most - most / 4 }

    fileprivate func change(by bytes: Int, stuck: Int) {
        waiting += bytes
        self.stuck += stuck
    }
}

/// What one writer has waiting, counted in a budget for as long as the writer is there.
struct JournalShare: ~Copyable {
    let budget: JournalBudget
    private var counted = (bytes: 0, stuck: 0)

    init(of budget: JournalBudget) { self.budget = budget }

    deinit { budget.change(by: -counted.bytes, stuck: -counted.stuck) }

    /// So many bytes wait.
    mutating func count(_ bytes: Int, isStuck: Bool) {
        let stuck = isStuck ? bytes : 0
        guard (bytes, stuck) != counted else { return }
        budget.change(by: bytes - counted.bytes, stuck: stuck - counted.stuck)
        counted = (bytes, stuck)
    }
}
