// What the subscribers of a health bus hold, and whom a message therefore goes to. A pure machine. A connection holds each
// prefix once, however often it asks for it (as libzmq's XPUB has it), and so many of them at the most.

/// The prefixes that connections hold.
struct BusSubscriptions {
    struct Limits: Hashable, Sendable {
        /// Prefixes of one connection, and their bytes together.
        var prefixes = 1000
        var bytes = 64 << 10
        /// Of one prefix: no topic is longer (`Topic.longest`).
        var longest = 2048

        init() {}
    }

    /// Why a prefix is not held.
    enum Refusal: Hashable, Sendable, CustomStringConvertible {
        case tooMany(Int)
        case tooManyBytes(Int)
        case tooLong(Int)
        /// So many subscriptions of this connection wait for their answers.
        case tooManyWait(Int)

        var description: String {
            switch self {
            case .tooMany(let limit): "a connection holds \(limit) prefixes at most"
            case .tooManyBytes(let limit): "a connection's prefixes have \(limit) bytes together at most"
            case .tooLong(let limit): "no topic is longer than \(limit) bytes"
            case .tooManyWait(let limit): "\(limit) others of this connection wait for their answers"
            }
        }
    }

    private struct Held {
        var prefixes: Set<ArraySlice<UInt8>> = []
        var bytes = 0
        /// How many of the prefixes may match samples.
        var ofSamples = 0
    }

    private static let samples = Array("sample/".utf8)

    let limits: Limits
    /// Subscriptions that were refused.
    private(set) var refused: UInt64 = 0
    /// By connection.
    private var held: [Int32: Held] = [:]
    private var holders: [ArraySlice<UInt8>: [Int32]] = [:]
    /// How many prefixes there are of each length: a topic is looked up by those alone.
    private var ofLength: [Int]
    private var askedForSamples = 0

    init(limits: Limits = Limits()) {
        self.limits = limits
        ofLength = Array(repeating: 0, count: limits.longest + 1)
    }

    /// Prefixes that are held, by all connections together.
    var count: Int { held.values.reduce(0) { $0 + $1.prefixes.count } }
    /// Whether anybody may want samples.
    var isAskedForSamples: Bool { askedForSamples > 0 }

    /// Whether a connection holds any prefix.
    func holds(_ connection: Int32) -> Bool { held[connection] != nil }

    // MARK: - Events

    /// - Returns: why it is refused; `nil`: it is held from now on, or was already.
    mutating func subscribe(_ prefix: [UInt8], by connection: Int32) -> Refusal? {
        if let refusal = refusal(of: prefix, by: connection) {
            refused &+= 1
            return refusal
        }
        let key = prefix[...]
        guard held[connection, default: Held()].prefixes.insert(key).inserted else { return nil }
        held[connection]?.bytes += prefix.count
        if BusSubscriptions.mayMatchSamples(key) {
            held[connection]?.ofSamples += 1
            askedForSamples += 1
        }
        if holders[key] == nil { ofLength[prefix.count] += 1 }
        holders[key, default: []].append(connection)
        return nil
    }

    /// What is not held is not missed.
    mutating func cancel(_ prefix: [UInt8], by connection: Int32) {
        guard held[connection]?.prefixes.remove(prefix[...]) != nil else { return }
        held[connection]?.bytes -= prefix.count
        if BusSubscriptions.mayMatchSamples(prefix[...]) {
            held[connection]?.ofSamples -= 1
            askedForSamples -= 1
        }
        if held[connection]?.prefixes.isEmpty == true { held[connection] = nil }
        release(prefix[...], by: connection)
    }

    mutating func departed(_ connection: Int32) {
        guard let gone = held.removeValue(forKey: connection) else { return }
        askedForSamples -= gone.ofSamples
        for prefix in gone.prefixes { release(prefix, by: connection) }
    }

    /// Whose prefixes match a topic, each connection once.
    func receivers(of topic: [UInt8]) -> [Int32] {
        var found: [Int32] = []
        var isOfSeveral = false
        for length in 0...min(topic.count, limits.longest) where ofLength[length] > 0 {
            guard let more = holders[topic[..<length]] else { continue }
            isOfSeveral = !found.isEmpty
            found = isOfSeveral ? found + more : more
        }
        guard isOfSeveral else { return found }
        var seen: Set<Int32> = []
        return found.filter { seen.insert($0).inserted }
    }

    // MARK: - Steps

    private func refusal(of prefix: [UInt8], by connection: Int32) -> Refusal? {
        if prefix.count > limits.longest { return .tooLong(limits.longest) }
        guard let held = held[connection], !held.prefixes.contains(prefix[...]) else { return nil }
        if held.prefixes.count >= limits.prefixes { return .tooMany(limits.prefixes) }
        return held.bytes + prefix.count > limits.bytes ? .tooManyBytes(limits.bytes) : nil
    }

    private mutating func release(_ prefix: ArraySlice<UInt8>, by connection: Int32) {
        guard let index = holders[prefix]?.firstIndex(of: connection) else { return }
        holders[prefix]?.remove(at: index)
        guard holders[prefix]?.isEmpty == true else { return }
        holders[prefix] = nil
        ofLength[prefix.count] -= 1
    }

    private static func mayMatchSamples(_ prefix: ArraySlice<UInt8>) -> Bool {
        prefix.starts(with: samples) || samples.starts(with: prefix)
    }
}
