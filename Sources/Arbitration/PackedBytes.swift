// Where short names lie: one after the other in one buffer, six bytes each besides their own. Who keeps names as
// numbers, keeps them here.
import Basics

/// Strings of bytes, numbered 0, 1, 2 …
public struct PackedBytes: Sendable {
    /// Bytes of strings that are gone which may stay before the others move together.
    private static let slack = 4096
    /// Of a string: how many bytes it has, little-endian.
    private static let prefix = 2
    private static let gone = UInt32.max

    private let hashKey = HashKey()
    /// Each string behind its length.
    public private(set) var bytes: [UInt8] = []
    private var starts: [UInt32] = []
    private var leftovers = 0

    public init() {}

    /// Those that are gone included, in whose places nothing was put.
    public var count: Int { starts.count }
    /// Bytes of all of them, and of those that are gone and not let go of yet.
    var size: Int { bytes.count }

    /// Empty where one is gone.
    @inline(__always)
    public subscript(number: Int) -> ArraySlice<UInt8> {
        bytes[place(of: number)]
    }

    /// Where in the bytes one is; nowhere where one is gone.
    @inline(__always)
    public func place(of number: Int) -> Range<Int> {
        guard starts[number] != PackedBytes.gone else { return 0..<0 }
        let start = Int(starts[number]) + PackedBytes.prefix
        return start..<(start + length(number))
    }

    /// Whether it is this string, which takes no slice of what lies here.
    @inline(__always)
    func isEqual(_ number: Int, to string: some Collection<UInt8>) -> Bool {
        guard starts[number] != PackedBytes.gone, length(number) == string.count else { return false }
        var place = Int(starts[number]) + PackedBytes.prefix
        for byte in string {
            if bytes[place] != byte { return false }
            place += 1
        }
        return true
    }

    /// Likewise, of a string that is borrowed.
    @inline(__always)
    func isEqual(_ number: Int, to string: Span<UInt8>) -> Bool {
        bytes.span.extracting(place(of: number)).isEqual(to: string)
    }

    /// - Precondition: the string has less than 64 KiB, and all of them together less than 4 GiB.
    public mutating func append(_ string: some Collection<UInt8>) {
        starts.append(UInt32(bytes.count))
        add(string)
    }

    /// Puts a string in the place of one that is gone.
    ///
    /// - Precondition: as for `append`.
    mutating func put(_ string: some Collection<UInt8>, at number: Int) {
        starts[number] = UInt32(bytes.count)
        add(string)
    }

    mutating func remove(_ number: Int) {
        guard starts[number] != PackedBytes.gone else { return }
        leftovers += PackedBytes.prefix + length(number)
        starts[number] = PackedBytes.gone
        if leftovers > PackedBytes.slack, 2 * leftovers > bytes.count { moveTogether() }
    }

    /// The hash by which a string is found among these.
    @inline(__always)
    func hash(_ string: some Collection<UInt8>) -> Int {
        let hash = string.withContiguousStorageIfAvailable { [hashKey] bytes in
            unsafe hashKey.hash(UnsafeRawBufferPointer(bytes))
        }
        return hash ?? self.hash(Array(string))
    }

    /// Likewise, of a string that is borrowed.
    @inline(__always)
    func hash(_ string: Span<UInt8>) -> Int {
        unsafe string.withUnsafeBytes { unsafe hashKey.hash($0) }
    }

    @inline(__always)
    private func length(_ number: Int) -> Int {
        let start = Int(starts[number])
        return Int(bytes[start]) | Int(bytes[start + 1]) << 8
    }

    private mutating func add(_ string: some Collection<UInt8>) {
        let length = UInt16(string.count)
        bytes.append(UInt8(truncatingIfNeeded: length))
        bytes.append(UInt8(truncatingIfNeeded: length >> 8))
        bytes.append(contentsOf: string)
    }

    private mutating func moveTogether() {
        var moved: [UInt8] = []
        moved.reserveCapacity(bytes.count - leftovers)
        for number in starts.indices where starts[number] != PackedBytes.gone {
            let (start, size) = (Int(starts[number]), PackedBytes.prefix + length(number))
            starts[number] = UInt32(moved.count)
            moved.append(contentsOf: bytes[start..<(start + size)])
        }
        (bytes, leftovers) = (moved, 0)
    }
}
