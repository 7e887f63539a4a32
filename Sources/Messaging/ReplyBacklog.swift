// Replies that wait until those before them have been taken, as they were made: nothing is copied for who does not read. What
// one may have depends on what is left (dynamic thresholds: Choudhury and Hahne, 1998). A pure machine; it knows whom they
// are for by whatever tells connections apart.

/// The replies that wait for connections that take no more for now.
struct ReplyBacklog<Key: Hashable> {
    /// Replies and bytes of them.
    struct Limits: Hashable {
        /// Replies of one connection, as a replica is sent that asks for each of its channels at once, and bytes of them.
        var replies = 64
        var ofOne = 66 << 20
        /// What each may have whatever others have.
        var ofEach = 16 << 10
        /// What all may have beyond that.
        var ofAll = 132 << 20
    }

    private struct Waiting {
        var replies: [[[UInt8]]] = []
        var bytes = 0
    }

    let limits: Limits
    private var waiting: [Key: Waiting] = [:]
    private(set) var bytes = 0

    init(limits: Limits = Limits()) { self.limits = limits }

    func isEmpty(for key: Key) -> Bool { waiting[key] == nil }

    /// Takes a reply, or has no room for it.
    mutating func add(_ reply: [[UInt8]], for key: Key) -> Bool {
        let count = ReplyBacklog.size(of: reply)
        let own = waiting[key] ?? Waiting()
        let most = max(limits.ofEach, min(limits.ofOne, limits.ofAll - bytes))
        guard own.replies.count < limits.replies, own.bytes + count <= most else { return false }
        waiting[key, default: Waiting()].replies.append(reply)
        waiting[key, default: Waiting()].bytes += count
        bytes += count
        return true
    }

    /// The reply whose turn it is; `nil`: none waits.
    mutating func next(for key: Key) -> [[UInt8]]? {
        guard let reply = waiting[key]?.replies.removeFirst() else { return nil }
        let count = ReplyBacklog.size(of: reply)
        bytes -= count
        waiting[key]?.bytes -= count
        if waiting[key]?.replies.isEmpty == true { waiting[key] = nil }
        return reply
    }

    /// A connection is gone.
    mutating func remove(_ key: Key) { bytes -= waiting.removeValue(forKey: key)?.bytes ?? 0 }

    /// With what its frames take besides their bytes.
    private static func size(of reply: [[UInt8]]) -> Int { reply.reduce(0) { $0 + $1.count + 32 } }
}
