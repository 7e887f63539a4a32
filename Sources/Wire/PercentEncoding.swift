// Percent-encoding (RFC 3986, section 2.1) of names in topics, so that a name can hold a slash, a space or a
// NUL. There is exactly one spelling of each name: prefixes are compared as bytes.

/// Names as they stand in topics.
public enum PercentEncoding {
    /// The name with all bytes but ALPHA, DIGIT, `-`, `.`, `_` and `~` written as `%XX`, in capitals.
    public static func encode(_ name: String) -> String {
        var output: [UInt8] = []
        output.reserveCapacity(name.utf8.count)
        for byte in name.utf8 {
            if isUnreserved(byte) {
                output.append(byte)
            } else {
                output.append(UInt8(ascii: "%"))
                output.append(hexDigit(byte >> 4))
                output.append(hexDigit(byte & 15))
            }
        }
        return String(decoding: output, as: UTF8.self)
    }

    /// The name that `encode` would spell like this; `nil` for any other spelling and for what is not UTF-8.
    public static func decode(_ bytes: some Collection<UInt8>) -> String? {
        var output: [UInt8] = []
        var rest = bytes.makeIterator()
        while let byte = rest.next() {
            if isUnreserved(byte) {
                output.append(byte)
                continue
            }
            guard byte == UInt8(ascii: "%"), let high = rest.next().flatMap(value(ofHexDigit:)),
                let low = rest.next().flatMap(value(ofHexDigit:)), !isUnreserved(high << 4 | low)
            else { return nil }
            output.append(high << 4 | low)
        }
        return String(validating: output, as: UTF8.self)
    }

    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            true
        default: false
        }
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") &+ value : UInt8(ascii: "A") &+ (value &- 10)
    }

    private static func value(ofHexDigit byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte &- UInt8(ascii: "0")
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte &- UInt8(ascii: "A") &+ 10
        default: nil
        }
    }
}

extension String {
    /// As many whole characters of the text, from its start, as fit into `bytes` bytes of UTF-8.
    func cut(toBytes bytes: Int) -> String {
        guard utf8.count > bytes else { return self }
        var kept = String.UnicodeScalarView()
        var left = bytes
        for scalar in unicodeScalars {
            left -= UTF8.width(scalar)
            guard left >= 0 else { break }
            kept.append(scalar)
        }
        return String(kept)
    }
}
