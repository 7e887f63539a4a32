// Reading and writing bytes: the only way that a decoder touches its input. A reader cannot overrun and
// says at which offset it stopped; a writer appends in a named byte order.

/// Why a read failed: more bytes were asked for than are left.
public struct EndOfBytes: Error, Hashable, Sendable, CustomStringConvertible {
    /// Where in the input the read began, counted from its first byte.
    public var offset: Int
    /// How many bytes were asked for.
    public var wanted: Int
    /// How many were left.
    public var left: Int

    @inlinable
    public init(offset: Int, wanted: Int, left: Int) {
        self.offset = offset
        self.wanted = wanted
        self.left = left
    }

    public var description: String { "offset \(offset): \(wanted) bytes wanted, \(left) left" }
}

/// Reads a run of bytes from front to back.
public struct ByteReader {
    @usableFromInline var unread: ArraySlice<UInt8>
    @usableFromInline let start: Int

    @inlinable
    public init(_ bytes: ArraySlice<UInt8>) {
        unread = bytes
        start = bytes.startIndex
    }

    @inlinable
    public init(_ bytes: [UInt8]) { self.init(bytes[...]) }

    /// What has not been read yet.
    @inlinable
    public var rest: ArraySlice<UInt8> { unread }
    /// Bytes read so far.
    @inlinable
    public var offset: Int { unread.startIndex - start }
    @inlinable
    public var isAtEnd: Bool { unread.isEmpty }
    /// How many bytes are left.
    @inlinable
    public var count: Int { unread.count }

    /// The next `count` bytes.
    @inlinable
    public mutating func take(_ count: Int) throws(EndOfBytes) -> ArraySlice<UInt8> {
        guard count >= 0, count <= unread.count else {
            throw EndOfBytes(offset: offset, wanted: count, left: unread.count)
        }
        let end = unread.startIndex + count
        let taken = unread[unread.startIndex..<end]
        unread = unread[end...]
        return taken
    }

    /// An integer in network byte order (big-endian).
    @inlinable
    public mutating func integer<T: FixedWidthInteger>(_ type: T.Type) throws(EndOfBytes) -> T {
        try bigEndian(bytes: T.bitWidth / 8)
    }

    /// A big-endian unsigned integer of `bytes` bytes, as ITCH's 48-bit timestamp needs.
    @inlinable
    public mutating func bigEndian<T: FixedWidthInteger>(bytes: Int) throws(EndOfBytes) -> T {
        var value: T = 0
        for byte in try take(bytes) { value = (value << 8) | T(truncatingIfNeeded: byte) }
        return value
    }

    /// An integer in little-endian byte order.
    @inlinable
    public mutating func littleEndian<T: FixedWidthInteger>(_ type: T.Type) throws(EndOfBytes) -> T {
        var value: T = 0
        var shift = 0
        for byte in try take(T.bitWidth / 8) {
            value |= T(truncatingIfNeeded: byte) << T(truncatingIfNeeded: shift)
            shift += 8
        }
        return value
    }

    /// An integer in the host's own byte order, as netlink uses.
    @inlinable
    public mutating func hostEndian<T: FixedWidthInteger>(_ type: T.Type) throws(EndOfBytes) -> T {
        #if _endian(little)
            try littleEndian(type)
        #else
            try integer(type)
        #endif
    }
}

/// Appends bytes in a named byte order.
public struct ByteWriter {
    public var bytes: [UInt8] = []

    @inlinable
    public init(capacity: Int = 0) { bytes.reserveCapacity(capacity) }

    @inlinable
    public mutating func bigEndian<T: FixedWidthInteger>(_ value: T) {
        var shift = T.bitWidth
        while shift > 0 {
            shift -= 8
            bytes.append(UInt8(truncatingIfNeeded: value >> T(truncatingIfNeeded: shift)))
        }
    }

    /// The low `count` bytes of `value`, big-endian.
    @inlinable
    public mutating func bigEndian(_ value: UInt64, bytes count: Int) {
        var shift = count * 8
        while shift > 0 {
            shift -= 8
            bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(shift)))
        }
    }

    @inlinable
    public mutating func littleEndian<T: FixedWidthInteger>(_ value: T) {
        var shift = 0
        while shift < T.bitWidth {
            bytes.append(UInt8(truncatingIfNeeded: value >> T(truncatingIfNeeded: shift)))
            shift += 8
        }
    }

    @inlinable
    public mutating func append(_ more: some Sequence<UInt8>) { bytes.append(contentsOf: more) }

    /// ASCII text, cut or right-padded with spaces to `width` bytes.
    @inlinable
    public mutating func padded(_ text: String, to width: Int) {
        let utf8 = Array(text.utf8.prefix(width))
        bytes.append(contentsOf: utf8)
        bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: width - utf8.count))
    }
}

extension [UInt8] {
    /// Appends bytes that lie in one piece, which nobody else holds meanwhile: each message passes here.
    @inlinable
    public mutating func append(copying bytes: ArraySlice<UInt8>) {
        unsafe bytes.withUnsafeBufferPointer { unsafe append(contentsOf: $0) }
    }

    @inlinable
    public mutating func append(copying bytes: [UInt8]) {
        unsafe bytes.withUnsafeBufferPointer { unsafe append(contentsOf: $0) }
    }
}

extension [UInt8] {
    /// Appends bytes that are borrowed from somewhere else.
    @inlinable
    public mutating func append(copying bytes: Span<UInt8>) {
        unsafe bytes.withUnsafeBufferPointer { unsafe append(contentsOf: $0) }
    }

    /// A copy of borrowed bytes.
    @inlinable
    public init(copying bytes: Span<UInt8>) {
        self = []
        append(copying: bytes)
    }
}

// Where every message passes, bytes are borrowed: a slice would count one more who holds them, and one less again.
extension Span<UInt8> {
    /// A little-endian number at an index; 0 where the bytes end before.
    @inlinable
    public func word<T: FixedWidthInteger>(at index: Int, as type: T.Type) -> T {
        guard index >= 0, index + T.bitWidth / 8 <= count else { return 0 }
        return unsafe withUnsafeBytes { bytes in
            T(littleEndian: unsafe bytes.loadUnaligned(fromByteOffset: index, as: type))
        }
    }

    /// Whether they are the same bytes.
    @inlinable
    public func isEqual(to other: Span<UInt8>) -> Bool {
        guard count == other.count else { return false }
        for index in indices where self[index] != other[index] { return false }
        return true
    }
}

extension ArraySlice<UInt8> {
    /// A little-endian number at an index; 0 where the bytes end before.
    @inlinable
    public func word<T: FixedWidthInteger>(at index: Int, as type: T.Type) -> T {
        guard index >= startIndex, index + T.bitWidth / 8 <= endIndex else { return 0 }
        return unsafe withUnsafeBytes { bytes in
            T(littleEndian: unsafe bytes.loadUnaligned(fromByteOffset: index - startIndex, as: type))
        }
    }

    /// The bytes as text without the spaces and NULs that pad fixed-width fields on either side; bytes that
    /// are not UTF-8 are replaced.
    public var trimmedText: String {
        let isPadding: (UInt8) -> Bool = { $0 == UInt8(ascii: " ") || $0 == 0 }
        var slice = self
        while let first = slice.first, isPadding(first) { slice = slice.dropFirst() }
        while let last = slice.last, isPadding(last) { slice = slice.dropLast() }
        return String(decoding: slice, as: UTF8.self)
    }
}

/// FNV-1a, 64 bits: a fast hash that is the same in each run and on each host, so that two gateways give a
/// venue's session the same number. Not for adversarial input. Source: draft-eastlake-fnv, section 2.
@inlinable
public func fnv1a(_ bytes: some Sequence<UInt8>) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return hash
}
