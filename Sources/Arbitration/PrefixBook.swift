// The prefixes that clients ask for, as small numbers: many clients ask for the same, and each name is kept once.

/// A bounded set of names with a count of their uses; who bounds the uses, bounds it. A number is given anew when its
/// name has no use any more.
struct PrefixBook: Sendable {
    /// A name's number.
    typealias Handle = UInt32

    private struct Entry {
        var name: String
        var uses: UInt32
    }

    private var entries: [Entry] = []
    private var unused: [Handle] = []
    private var buckets = HandleBuckets()

    subscript(handle: Handle) -> String { entries[Int(handle)].name }

    func find(_ name: String) -> Handle? { find(name, name.hashValue) }

    /// A name's number, for one more use.
    mutating func take(_ name: String) -> Handle {
        let hash = name.hashValue
        if let known = find(name, hash) {
            entries[Int(known)].uses += 1
            return known
        }
        let handle = unused.popLast() ?? UInt32(entries.count)
        let entry = Entry(name: name, uses: 1)
        if Int(handle) == entries.count { entries.append(entry) } else { entries[Int(handle)] = entry }
        buckets.insert(Int(handle), hash) { entries[$0].name.hashValue }
        return handle
    }

    /// One use less.
    mutating func drop(_ handle: Handle) {
        entries[Int(handle)].uses -= 1
        guard entries[Int(handle)].uses == 0 else { return }
        buckets.remove(Int(handle), entries[Int(handle)].name.hashValue) { entries[$0].name.hashValue }
        entries[Int(handle)].name = ""
        unused.append(handle)
    }

    private func find(_ name: String, _ hash: Int) -> Handle? {
        buckets.find(hash) { entries[$0].name == name }.map { UInt32($0) }
    }
}
