// Names as small numbers, for who keeps much of many names: each is kept once, with a count of its uses.

/// A set of names with a count of the uses of each; who bounds the uses, bounds it. A number is given anew when its name
/// has no use any more.
struct NameBook: Sendable {
    /// A name's number, from 0 on.
    typealias Handle = UInt32

    private var strings = PackedBytes()
    /// By number.
    private var uses: [UInt32] = []
    private var unused: [Handle] = []
    private var buckets = HandleBuckets()
    /// Another number whenever a name is new or has no use any more; never 0.
    private(set) var edition: UInt32 = 1

    /// How many names have a use.
    var count: Int { uses.count - unused.count }

    subscript(number: Handle) -> String { String(decoding: strings[Int(number)], as: UTF8.self) }

    /// All that have a use.
    var names: [String] { uses.indices.filter { uses[$0] > 0 }.map { self[Handle($0)] } }

    func find(_ name: String) -> Handle? { find(name.utf8, strings.hash(name.utf8)) }

    func find(_ name: ArraySlice<UInt8>) -> Handle? { find(name, strings.hash(name)) }

    func uses(of number: Handle) -> UInt32 { uses[Int(number)] }

    /// A name's number, for one more use.
    ///
    /// - Precondition: the name has less than 64 KiB.
    mutating func take(_ name: String) -> Handle {
        let hash = strings.hash(name.utf8)
        if let known = find(name.utf8, hash) {
            use(known)
            return known
        }
        let number = add(name.utf8)
        buckets.insert(Int(number), hash) { strings.hash(strings[$0]) }
        change()
        return number
    }

    /// One use more of a name that is known.
    mutating func use(_ number: Handle) { uses[Int(number)] += 1 }

    /// One use less.
    mutating func drop(_ number: Handle) {
        let place = Int(number)
        uses[place] -= 1
        guard uses[place] == 0 else { return }
        buckets.remove(place, strings.hash(strings[place])) { strings.hash(strings[$0]) }
        strings.remove(place)
        unused.append(number)
        change()
    }

    private mutating func change() { edition = edition == .max ? 1 : edition + 1 }

    /// In the place of one that is gone, or behind the last.
    private mutating func add(_ name: String.UTF8View) -> Handle {
        if let number = unused.popLast() {
            strings.put(name, at: Int(number))
            uses[Int(number)] = 1
            return number
        }
        strings.append(name)
        uses.append(1)
        return Handle(uses.count - 1)
    }

    private func find(_ name: some Collection<UInt8>, _ hash: Int) -> Handle? {
        buckets.find(hash) { strings.isEqual($0, to: name) }.map { Handle($0) }
    }
}
