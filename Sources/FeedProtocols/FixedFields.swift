// Numbers at fixed places of a message whose length has been checked.

/// A little-endian number at `offset`.
/// - Precondition: `bytes` reaches so far.
@inline(__always)
func littleEndian<T: FixedWidthInteger>(_: T.Type, at offset: Int, of bytes: ArraySlice<UInt8>) -> T {
    let start = bytes.startIndex + offset
    var value: T = 0
    for index in 0..<(T.bitWidth / 8) {
        value |= T(truncatingIfNeeded: bytes[start + index]) << T(truncatingIfNeeded: 8 * index)
    }
    return value
}

/// A big-endian number of `count` bytes at `offset`: of text, so that its first byte is the highest.
/// - Precondition: `bytes` reaches so far.
@inline(__always)
func bigEndian(at offset: Int, count: Int, of bytes: ArraySlice<UInt8>) -> UInt64 {
    let start = bytes.startIndex + offset
    var value: UInt64 = 0
    for index in start..<(start + count) { value = value << 8 | UInt64(bytes[index]) }
    return value
}
