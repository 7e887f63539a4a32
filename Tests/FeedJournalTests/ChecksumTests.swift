// CRC32C and SHA-256 against published vectors.
import Basics
import Testing

@testable import FeedJournal

@Suite struct ChecksumTests {
    /// RFC 3720, appendix B.4, and the check value of the catalogue of parametrised CRCs.
    private static let vectors: [(bytes: [UInt8], crc: UInt32)] = [
        ([UInt8](repeating: 0, count: 32), 0x8A91_36AA), ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43),
        (Array(0..<32), 0x46DD_794E), (Array((0..<32).reversed()), 0x113F_DB5C),
        (Array("123456789".utf8), 0xE306_9283), ([], 0),
    ]

    @Test func `the table gives the published checksums`() {
        for (bytes, crc) in Self.vectors { #expect(CRC32C.byTable(0, bytes.span) == crc) }
    }

    @Test func `a checksum goes on where it was left, wherever that is`() {
        let bytes = (0..<100).map { UInt8(truncatingIfNeeded: $0 &* 37) }
        let whole = CRC32C.byTable(0, bytes.span)
        for cut in 0...bytes.count {
            #expect(
                CRC32C.byTable(
                    CRC32C.byTable(0, bytes.span.extracting(..<cut)), bytes.span.extracting(cut...)) == whole)
        }
    }

    /// FIPS 180-4's examples (NIST, SHA256.pdf and the SHAVS short messages).
    private static let digests: [(text: String, digest: String)] = [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        (
            "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrs"
                + "mnopqrstnopqrstu",
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"
        ),
    ]

    @Test func `the digest is that of the standard`() {
        for (text, digest) in Self.digests {
            var hash = SHA256()
            hash.append(Array(text.utf8))
            #expect("\(hash.digest)" == digest)
        }
        var million = SHA256()
        for _ in 0..<1000 { million.append([UInt8](repeating: UInt8(ascii: "a"), count: 1000)) }
        #expect("\(million.digest)" == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }

    @Test func `pieces make the same digest as the whole`() {
        let bytes = (0..<300).map { UInt8(truncatingIfNeeded: $0 &* 11) }
        var whole = SHA256()
        whole.append(bytes)
        for cut in [0, 1, 55, 56, 63, 64, 65, 127, 128, 200, 300] {
            var pieces = SHA256()
            pieces.append(bytes[..<cut])
            _ = pieces.digest
            pieces.append(bytes[cut...])
            #expect(pieces.digest == whole.digest)
        }
    }
}
