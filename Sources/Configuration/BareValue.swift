// Values that stand without quotes: numbers, true and false (TOML v1.0.0, Integer, Float and Boolean). Dates
// and times, which no key takes, are none.

enum BareValue {
    /// Whether a key may have this byte without quotes.
    static func isKeyByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), digits,
            UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }

    static func isValue(_ word: [UInt8]) -> Bool {
        if word == Array("true".utf8) || word == Array("false".utf8) { return true }
        if word.count > 2, word[0] == UInt8(ascii: "0") {
            switch word[1] {
            case UInt8(ascii: "x"): return word[2...].allSatisfy { isHexadecimal($0) || $0 == underscore }
            case UInt8(ascii: "o"): return word[2...].allSatisfy { octalDigits ~= $0 || $0 == underscore }
            case UInt8(ascii: "b"): return word[2...].allSatisfy { binaryDigits ~= $0 || $0 == underscore }
            default: break
            }
        }
        return isDecimal(word[...])
    }

    private static let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
    private static let octalDigits = UInt8(ascii: "0")...UInt8(ascii: "7")
    private static let binaryDigits = UInt8(ascii: "0")...UInt8(ascii: "1")
    private static let underscore = UInt8(ascii: "_")

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        switch byte {
        case digits, UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"): true
        default: false
        }
    }

    /// A whole number, or one with decimals and an exponent, or infinity or none at all.
    private static func isDecimal(_ word: ArraySlice<UInt8>) -> Bool {
        var rest = word
        takeSign(&rest)
        if rest.elementsEqual("inf".utf8) || rest.elementsEqual("nan".utf8) { return true }
        guard let first = rest.first, digits ~= first, takeDigits(&rest) else { return false }
        if rest.first == UInt8(ascii: ".") {
            rest = rest.dropFirst()
            guard takeDigits(&rest) else { return false }
        }
        if rest.first == UInt8(ascii: "e") || rest.first == UInt8(ascii: "E") {
            rest = rest.dropFirst()
            takeSign(&rest)
            guard takeDigits(&rest) else { return false }
        }
        return rest.isEmpty
    }

    private static func takeSign(_ rest: inout ArraySlice<UInt8>) {
        if rest.first == UInt8(ascii: "+") || rest.first == UInt8(ascii: "-") { rest = rest.dropFirst() }
    }

    /// `false`: there is none.
    private static func takeDigits(_ rest: inout ArraySlice<UInt8>) -> Bool {
        let before = rest.count
        rest = rest.drop { digits ~= $0 || $0 == underscore }
        return rest.count < before
    }
}
