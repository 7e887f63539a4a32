// Shared by the watchers' tests: time, hex, recordings, a seeded generator and what hangs.
import Basics
import Configuration
import Dispatch
import Linux
import Synchronization
import Watchers
import Wire

func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

/// Bytes from hexadecimal digits; anything after `#` on a line, spaces, colons and `\x` are skipped.
func hex(_ text: String) -> [UInt8] {
    var digits: [UInt8] = []
    for line in text.split(separator: "\n") {
        let code = line.prefix { $0 != "#" }.replacing("\\x", with: "")
        digits += code.compactMap(\.hexDigitValue).map { UInt8($0) }
    }
    return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

/// The folder of recordings beside the repository, or wherever one above it has it.
let recordings: String? = {
    var folder = #filePath.split(separator: "/").dropLast().map(String.init)
    while !folder.isEmpty {
        folder.removeLast()
        let path = "/" + (folder + ["shared", "data"]).joined(separator: "/")
        if Files.exists(path) { return path }
    }
    return nil
}()

/// A small seeded generator, so that a failure repeats.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func chance(_ probability: Double) -> Bool {
        Double(next() >> 11) / Double(1 << 53) < probability
    }
}

/// Builds netlink messages in the host's byte order (tests run on little-endian hosts).
struct NetlinkBuilder {
    static func attribute(_ type: UInt16, _ bytes: [UInt8]) -> [UInt8] {
        var writer = ByteWriter()
        writer.littleEndian(UInt16(4 + bytes.count))
        writer.littleEndian(type)
        writer.append(bytes)
        writer.append(repeatElement(0, count: (4 - bytes.count % 4) % 4))
        return writer.bytes
    }

    static func message(_ type: UInt16, _ payload: [UInt8]) -> [UInt8] {
        var writer = ByteWriter()
        writer.littleEndian(UInt32(16 + payload.count))
        writer.littleEndian(type)
        writer.littleEndian(UInt16(0))
        writer.littleEndian(UInt32(1))
        writer.littleEndian(UInt32(0))
        writer.append(payload)
        return writer.bytes
    }

    static func u32(_ value: UInt32) -> [UInt8] {
        var writer = ByteWriter()
        writer.littleEndian(value)
        return writer.bytes
    }

    static func link(_ type: UInt16 = 16, index: UInt32, flags: UInt32, _ attributes: [[UInt8]]) -> [UInt8] {
        message(type, u32(0x0001_0000) + u32(index) + u32(flags) + u32(0) + attributes.flatMap { $0 })
    }
}

func decode(_ datagram: [UInt8]) throws(NetlinkDefect) -> [RouteNetlinkMessage] {
    var reader = NetlinkFrameReader(datagram[...])
    var messages: [RouteNetlinkMessage] = []
    while let frame = try reader.next() { messages.append(try RouteNetlinkMessage(frame)) }
    return messages
}

/// Holds calls until it is opened, as a disk does that hangs.
final class Gate: Sendable {
    private let closed = DispatchGroup()
    private let isOpen = Mutex(false)

    init() { closed.enter() }

    deinit { open() }

    /// It stays open.
    func open() {
        let wasOpen = isOpen.withLock { isOpen in
            defer { isOpen = true }
            return isOpen
        }
        if !wasOpen { closed.leave() }
    }

    func wait() { closed.wait() }
}
