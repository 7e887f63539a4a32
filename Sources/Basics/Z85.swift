// Z85: bytes as text, four of them in five characters, as ZeroMQ writes its keys (ZeroMQ RFC 32).

/// Encodes and decodes Z85.
public enum Z85 {
    private static let characters = Array(
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#".utf8)

    private static let digits: [UInt8: UInt64] = Dictionary(
        uniqueKeysWithValues: characters.enumerated().map { ($0.element, UInt64($0.offset)) })

    /// The text of bytes whose count is a multiple of four; else `nil`.
    public static func encode(_ bytes: some Collection<UInt8>) -> String? {
        let bytes = Array(bytes)
        guard bytes.count.isMultiple(of: 4) else { return nil }
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 4) {
            var value = bytes[start..<start + 4].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            var group: [UInt8] = []
            for _ in 0..<5 {
                group.append(characters[Int(value % 85)])
                value /= 85
            }
            text += group.reversed()
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// The bytes of a text whose length is a multiple of five; `nil` for anything that is not Z85.
    public static func decode(_ text: some StringProtocol) -> [UInt8]? {
        let text = Array(text.utf8)
        guard text.count.isMultiple(of: 5) else { return nil }
        var bytes: [UInt8] = []
        for start in stride(from: 0, to: text.count, by: 5) {
            var value: UInt64 = 0
            for character in text[start..<start + 5] {
                guard let digit = digits[character] else { return nil }
                value = value * 85 + digit
            }
            guard let group = UInt32(exactly: value) else { return nil }
            for shift in [24, 16, 8, 0] as [UInt32] {
                bytes.append(UInt8(truncatingIfNeeded: group >> shift))
            }
        }
        return bytes
    }
}
