// One entry in the journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL), within bounds, so that it
// fits into one datagram.

/// The fields of an entry, ready to be sent.
struct JournalEntry {
    /// The longest MESSAGE, and the longest value of another field; longer ones are cut.
    static let longestMessage = 32 << 10
    static let longestValue = 4 << 10
    /// More fields than this are left out.
    static let mostFields = 32

    private(set) var bytes: [UInt8] = []
    private var fields = 0

    /// Adds a field; its name is made to be one: A–Z, 0–9 and `_`.
    mutating func add(_ name: String, _ value: String) {
        guard fields < JournalEntry.mostFields else { return }
        fields += 1
        let longest = name == "MESSAGE" ? JournalEntry.longestMessage : JournalEntry.longestValue
        let value = JournalEntry.cut(value, to: longest)
        bytes.append(contentsOf: JournalEntry.plain(name).utf8)
        // A value of several lines goes after its length.
        if value.contains(UInt8(ascii: "\n")) {
            bytes.append(UInt8(ascii: "\n"))
            let length = UInt64(value.count)
            bytes.append(contentsOf: (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) })
        } else {
            bytes.append(UInt8(ascii: "="))
        }
        bytes.append(contentsOf: value)
        bytes.append(UInt8(ascii: "\n"))
    }

    /// The name of a field from a key of ours: `client_address` is HOLDFAST_CLIENT_ADDRESS.
    static func fieldName(_ key: String) -> String {
        let name = plain(key)
        return name == "MESSAGE_ID" ? name : "HOLDFAST_" + name
    }

    private static func plain(_ name: String) -> String {
        String(
            name.uppercased().unicodeScalars.map { scalar -> Character in
                let isPlain = ("A"..."Z").contains(scalar) || ("0"..."9").contains(scalar)
                return isPlain ? Character(scalar) : "_"
            })
    }

    /// The first bytes of a text, without half a character at their end.
    private static func cut(_ text: String, to length: Int) -> ArraySlice<UInt8> {
        var bytes = Array(text.utf8)[...]
        guard bytes.count > length else { return bytes }
        let isInside = bytes[length] & 0xC0 == 0x80
        bytes = bytes[..<length]
        guard isInside else { return bytes }
        while let last = bytes.popLast(), last & 0xC0 == 0x80 {}
        return bytes
    }
}
