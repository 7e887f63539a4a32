// What has come by a connection, to be taken frame by frame: who takes them prepares once for all of them.

/// Frames that came together, which lie in one buffer.
public struct ArrivedFrames: ~Copyable {
    /// What they lie in. No slice of it may outlive the call in which the frames are taken, or it is made anew.
    public let bytes: [UInt8]
    @usableFromInline let places: [Range<Int>]
    @usableFromInline var taken = 0

    /// - Precondition: the places are within the bytes.
    public init(_ places: [Range<Int>], in bytes: [UInt8]) { (self.bytes, self.places) = (bytes, places) }

    /// Frames that lie somewhere else each.
    public init(copying frames: some Sequence<some Collection<UInt8>>) {
        var (bytes, places): ([UInt8], [Range<Int>]) = ([], [])
        for frame in frames {
            places.append(bytes.count..<(bytes.count + frame.count))
            bytes.append(contentsOf: frame)
        }
        self.init(places, in: bytes)
    }

    /// How many are left.
    public var count: Int { places.count - taken }
    @inlinable
    public var isEmpty: Bool { taken == places.count }

    /// Where those are that are left.
    public var left: ArraySlice<Range<Int>> { places[taken...] }

    /// Bytes of those that are left.
    public var size: Int { places[taken...].reduce(0) { $0 + $1.count } }

    /// Where the next frame is, of whatever message; `nil`: no more for now.
    @inlinable
    public mutating func next() -> Range<Int>? {
        guard !isEmpty else { return nil }
        taken += 1
        return places[taken - 1]
    }

    /// What they were made from, to be used again.
    public consuming func emptied() -> (places: [Range<Int>], bytes: [UInt8]) { (places, bytes) }
}
