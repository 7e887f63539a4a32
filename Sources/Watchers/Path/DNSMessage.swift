// The little of DNS that a probe needs: one question, and whether a datagram answers it. Source: RFC 1035, section 4.
import Basics

/// A question for the root's SOA record: short, and every name server has something to say to it.
enum DNSMessage {
    /// The question section: the root, SOA, Internet.
    private static let question: [UInt8] = [0, 0, 6, 0, 1]

    /// A query that asks for recursion.
    static func query(identifier: UInt16) -> [UInt8] {
        var writer = ByteWriter(capacity: 17)
        writer.bigEndian(identifier)
        writer.bigEndian(UInt16(0x0100))
        writer.bigEndian(UInt16(1))
        writer.append(repeatElement(0, count: 6))
        writer.append(question)
        return writer.bytes
    }

    /// The identifier of the query that a datagram answers, whatever the answer is: a host that refuses is there.
    /// `nil`: it answers no query of ours. A response with an error may leave the question out.
    static func identifier(ofResponse bytes: ArraySlice<UInt8>) -> UInt16? {
        var reader = ByteReader(bytes)
        do throws(EndOfBytes) {
            let identifier = try reader.integer(UInt16.self)
            let flags = try reader.integer(UInt16.self)
            let questions = try reader.integer(UInt16.self)
            _ = try reader.take(6)
            // A response to a standard query.
            guard flags & 0x8000 != 0, flags & 0x7800 == 0 else { return nil }
            if questions == 0 { return flags & 0xF != 0 ? identifier : nil }
            guard questions == 1, try reader.take(question.count).elementsEqual(question) else {
                return nil
            }
            return identifier
        } catch {
            return nil
        }
    }
}
