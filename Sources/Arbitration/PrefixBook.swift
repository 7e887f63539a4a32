// The prefixes that clients ask for, as small numbers: many clients ask for the same, and each name is kept once.

/// A set of names with a count of their uses; who bounds the uses, bounds it. A number is given anew when its name has
/// no use any more.
struct PrefixBook: Sendable {
    /// A name's number.
    typealias Handle = UInt32

    private var names = Names()
    private var unused: [Handle] = []
    private var buckets = HandleBuckets()

    subscript(handle: Handle) -> String { String(decoding: names[Int(handle)], as: UTF8.self) }

    func find(_ name: String) -> Handle? { find(name.utf8, PrefixBook.hash(name.utf8)) }

    /// A name's number, for one more use.
    ///
    /// - Precondition: the name has less than 64 KiB.
    mutating func take(_ name: String) -> Handle {
        let hash = PrefixBook.hash(name.utf8)
        if let known = find(name.utf8, hash) {
            names.entries[Int(known)].uses += 1
            return known
        }
        let handle = unused.popLast()
        let number = names.add(name.utf8, at: handle.map { Int($0) })
        buckets.insert(number, hash) { PrefixBook.hash(names[$0]) }
        return Handle(number)
    }

    /// One use more of a name that is known.
    mutating func use(_ handle: Handle) { names.entries[Int(handle)].uses += 1 }

    /// One use less.
    mutating func drop(_ handle: Handle) {
        let number = Int(handle)
        names.entries[number].uses -= 1
        guard names.entries[number].uses == 0 else { return }
        buckets.remove(number, PrefixBook.hash(names[number])) { PrefixBook.hash(names[$0]) }
        names.remove(number)
        unused.append(handle)
    }

    private func find(_ name: String.UTF8View, _ hash: Int) -> Handle? {
        buckets.find(hash) { names[$0].elementsEqual(name) }.map { Handle($0) }
    }

    private static func hash(_ name: some Sequence<UInt8>) -> Int {
        var hasher = Hasher()
        for byte in name { hasher.combine(byte) }
        return hasher.finalize()
    }
}

/// The names themselves, one after the other in one buffer.
private struct Names: Sendable {
    struct Entry {
        var start: UInt32
        var length: UInt16
        var uses: UInt32
    }

    /// Bytes of names that are gone which may stay before the others move together.
    private static let slack = 4096

    var entries: [Entry] = []
    private var bytes: [UInt8] = []
    private var leftovers = 0

    subscript(number: Int) -> ArraySlice<UInt8> {
        let (start, length) = (Int(entries[number].start), Int(entries[number].length))
        return bytes[start..<(start + length)]
    }

    /// Adds a name with one use, in the place of one that is gone, or as the last.
    mutating func add(_ name: String.UTF8View, at place: Int?) -> Int {
        let entry = Entry(start: UInt32(bytes.count), length: UInt16(name.count), uses: 1)
        bytes.append(contentsOf: name)
        if let place { entries[place] = entry } else { entries.append(entry) }
        return place ?? entries.count - 1
    }

    mutating func remove(_ number: Int) {
        leftovers += Int(entries[number].length)
        entries[number].length = 0
        guard leftovers > Names.slack, 2 * leftovers > bytes.count else { return }
        var moved: [UInt8] = []
        moved.reserveCapacity(bytes.count - leftovers)
        for number in entries.indices {
            let name = self[number]
            entries[number].start = UInt32(moved.count)
            moved.append(contentsOf: name)
        }
        (bytes, leftovers) = (moved, 0)
    }
}
