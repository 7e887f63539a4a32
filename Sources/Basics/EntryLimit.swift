// Keeps a stranger from flooding a log: of each kind of entry so many in a while, fewer still for one key (an
// address, a path), and then one sum of what was held back. It decides and counts; a shell writes.

/// The limits of noisy kinds of log entries. Windows begin with an entry and have a fixed length.
public struct EntryLimit<Kind: Hashable & Sendable>: Sendable {
    public struct Options: Hashable, Sendable {
        /// How long a window is.
        public var window: Duration = .seconds(10)
        /// Entries of one key, and of one kind with all its keys, in one window.
        public var perKey = 5
        public var perKind = 20
        /// Keys of one kind that are told apart in one window; the rest share one.
        public var keys = 256

        public init() {}
    }

    /// What was held back of one kind in a window that has ended.
    public struct HeldBack: Hashable, Sendable {
        public var kind: Kind
        public var count: UInt64
        /// The key with the most of them, and how many; empty: one that was not told apart.
        public var key: String
        public var ofKey: UInt64

        public init(kind: Kind, count: UInt64, key: String, ofKey: UInt64) {
            self.kind = kind
            self.count = count
            self.key = key
            self.ofKey = ofKey
        }
    }

    private struct Window: Sendable {
        let end: Instant
        /// In the order in which the keys came, which is theirs if two have held back as many.
        var names: [String] = []
        var keys: [String: (written: Int, heldBack: UInt64)] = [:]
        var written = 0
        var heldBack: UInt64 = 0
    }

    public let options: Options
    private var windows: [Kind: Window] = [:]

    public init(options: Options = Options()) { self.options = options }

    /// Whether an entry may be written; otherwise it is counted. Call `tick` first where its time has come.
    public mutating func admit(_ kind: Kind, key: String, at now: Instant) -> Bool {
        var window = windows[kind] ?? Window(end: now + options.window)
        defer { windows[kind] = window }
        let name = window.keys[key] != nil || window.keys.count < options.keys ? key : ""
        if window.keys[name] == nil { window.names.append(name) }
        var entries = window.keys[name] ?? (0, 0)
        let isAdmitted = window.written < options.perKind && entries.written < options.perKey
        if isAdmitted {
            window.written += 1
            entries.written += 1
        } else {
            window.heldBack &+= 1
            entries.heldBack &+= 1
        }
        window.keys[name] = entries
        return isAdmitted
    }

    /// When `tick` is to be called next; `nil`: nothing runs.
    public var deadline: Instant? { windows.values.map(\.end).min() }

    /// Closes the windows that have ended; what they held back is to be told.
    public mutating func tick(at now: Instant) -> [HeldBack] {
        var told: [(end: Instant, sum: HeldBack)] = []
        for (kind, window) in windows where window.end <= now {
            windows[kind] = nil
            guard window.heldBack > 0 else { continue }
            var worst = (key: "", count: UInt64(0))
            for name in window.names {
                if let count = window.keys[name]?.heldBack, count > worst.count { worst = (name, count) }
            }
            told.append(
                (
                    window.end,
                    HeldBack(kind: kind, count: window.heldBack, key: worst.key, ofKey: worst.count)
                ))
        }
        return told.sorted { $0.end < $1.end }.map(\.sum)
    }
}
