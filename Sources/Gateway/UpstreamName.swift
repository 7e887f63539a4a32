// How the sequenced ZeroMQ feed spells instruments in its topics: as they are, with `/`, `%` and control
// characters percent-encoded, and a closing `/`. See the README of that protocol.
import Basics

package enum UpstreamName {
    package static func topic(of name: String) -> [UInt8] {
        var topic: [UInt8] = []
        for byte in name.utf8 {
            if mustBeEncoded(byte) {
                topic.append(UInt8(ascii: "%"))
                topic.append(contentsOf: [hexDigits[Int(byte >> 4)], hexDigits[Int(byte & 15)]])
            } else {
                topic.append(byte)
            }
        }
        topic.append(UInt8(ascii: "/"))
        return topic
    }

    /// The name that a topic, with its closing `/`, spells; `nil` if it spells none.
    package static func name(of topic: ArraySlice<UInt8>) -> String? {
        var name: [UInt8] = []
        var rest = topic.dropLast()
        guard topic.last == UInt8(ascii: "/"), !rest.isEmpty else { return nil }
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                if mustBeEncoded(byte) { return nil }
                name.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(value(ofHexDigit:)),
                let low = rest.popFirst().flatMap(value(ofHexDigit:))
            else {
                return nil
            }
            // There is one spelling of each name, or its messages would be those of two topics.
            guard mustBeEncoded(high << 4 | low) else { return nil }
            name.append(high << 4 | low)
        }
        return String(validating: name, as: UTF8.self)
    }

    private static let hexDigits = Array("0123456789ABCDEF".utf8)

    private static func mustBeEncoded(_ byte: UInt8) -> Bool {
        byte < 0x20 || byte == 0x7F || byte == UInt8(ascii: "/") || byte == UInt8(ascii: "%")
    }

    private static func value(ofHexDigit byte: UInt8) -> UInt8? {
        hexDigits.firstIndex(of: byte).map { UInt8(truncatingIfNeeded: $0) }
    }
}
