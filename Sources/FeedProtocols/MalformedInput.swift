// The one way in which every decoder here says no: what was wrong, where, and which numbers disagreed. The
// caller counts it under `reason`, and goes on with the next packet.

/// Why bytes are not what their format asks for.
public struct MalformedInput: Error, Hashable, Sendable, CustomStringConvertible {
    /// The names under which refusals are counted.
    public enum Reason: String, Hashable, Sendable, CaseIterable {
        /// Fewer bytes are left than a field, a message or a record needs.
        case truncated
        /// A length is above what the format, or this reader, allows.
        case oversized
        /// A length is below what its own header needs.
        case undersized
        /// Sequence numbers would run past 2^64 - 1.
        case sequenceOverflow = "sequence-overflow"
        /// The topic is empty, too long, does not end in `/`, or its NUL is missing.
        case badTopic = "bad-topic"
        /// A version or a magic number that this reader does not know.
        case unknownVersion = "unknown-version"
        /// A kind or a type that this reader does not know.
        case unknownKind = "unknown-kind"
        /// Two fields contradict each other.
        case inconsistent
    }

    public var reason: Reason
    /// Where in the packet or the file, in bytes from its first one.
    public var offset: Int
    /// What the format asks for, or the most that it allows.
    public var wanted: Int
    /// What was there.
    public var found: Int

    public init(_ reason: Reason, offset: Int, wanted: Int, found: Int) {
        self.reason = reason
        self.offset = offset
        self.wanted = wanted
        self.found = found
    }

    /// Whether it is the beginning of a file that gzip made, in place of a capture (RFC 1952, section 2.3.1).
    private var isGzip: Bool { offset == 0 && wanted == 0xA1B2_C3D4 && found >> 16 == 0x1F8B }

    public var description: String {
        switch reason {
        case .truncated: "offset \(offset): truncated, \(wanted) bytes wanted, \(found) left"
        case .oversized: "offset \(offset): \(found) bytes, at most \(wanted) are allowed"
        case .undersized: "offset \(offset): \(found) bytes, at least \(wanted) are needed"
        case .sequenceOverflow: "offset \(offset): \(found) messages would run past the last sequence number"
        case .badTopic: "offset \(offset): no topic that ends in '/' and a NUL within \(wanted) bytes"
        case .unknownVersion where isGzip: "compressed with gzip: unpack it with gunzip first"
        case .unknownVersion: "offset \(offset): unknown version or magic number \(found), \(wanted) expected"
        case .unknownKind: "offset \(offset): unknown kind \(found)"
        case .inconsistent: "offset \(offset): \(found) contradicts \(wanted)"
        }
    }
}
