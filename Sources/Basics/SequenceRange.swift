// Sequence numbers of a channel, as ranges: what is missing, what was told.

/// A closed run of sequence numbers, `first` to `last`.
public struct SequenceRange: Hashable, Sendable, CustomStringConvertible {
    public var first: UInt64
    public var last: UInt64

    /// - Precondition: `first` is not above `last`.
    public init(_ first: UInt64, _ last: UInt64) {
        precondition(first <= last, "a sequence range ascends")
        self.first = first
        self.last = last
    }

    /// How many sequence numbers it holds; saturates.
    public var count: UInt64 { last - first == .max ? .max : last - first + 1 }

    public func contains(_ sequence: UInt64) -> Bool { first <= sequence && sequence <= last }

    public var description: String { first == last ? "\(first)" : "\(first)–\(last)" }
}
