// Packets as they are on the wire, by libpcap: the kernel drops all but one UDP destination, and keeps the first
// bytes only. What is captured waits in a ring that the kernel fills, for a few milliseconds at most.
public import Basics
import CLinux
import CPcap
import Glibc

/// Why nothing can be captured.
public enum CaptureError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The kernel or the unit's sandbox forbids it.
    case notAllowed(SystemError)
    /// libpcap's words.
    case failed(String)

    public var description: String {
        switch self {
        case .notAllowed(let error): "not allowed to capture: \(error)"
        case .failed(let words): words
        }
    }
}

/// What is captured: UDP datagrams to one destination that come in through one interface.
public struct CaptureFilter: Hashable, Sendable {
    public var interface: String
    public var destination: IPv4Endpoint
    /// Only from this sender.
    public var source: IPv4Address?

    public init(interface: String, destination: IPv4Endpoint, source: IPv4Address? = nil) {
        self.interface = interface
        self.destination = destination
        self.source = source
    }

    /// In the language of pcap-filter(7).
    var expression: String {
        "udp and dst host \(destination.address) and dst port \(destination.port)"
            + (source.map { " and src host \($0)" } ?? "")
    }
}

/// An open capture. Opening and closing may wait for the kernel; reading does not. It belongs to one reader.
public final class Capture: Sendable {
    /// Ethernet with VLAN tags, an IPv4 header with options, UDP, and 40 bytes of payload.
    static let capturedBytes: Int32 = 160
    /// How long the kernel may hold packets back, so that one wake-up serves many.
    private static let holdMilliseconds: Int32 = 20

    /// The address of libpcap's handle.
    private let handle: UInt

    /// - Parameter bufferBytes: the ring's size: what the kernel can keep until it is read.
    public init(_ filter: CaptureFilter, bufferBytes: Int32) throws(CaptureError) {
        try Capture.checkRight()
        var words = [CChar](repeating: 0, count: Int(CPCAP_ERROR_BYTES))
        let opened = unsafe cpcap_open(
            filter.interface, filter.expression, Capture.capturedBytes, Capture.holdMilliseconds, bufferBytes,
            &words)
        guard let opened = unsafe opened else {
            throw .failed("capture on \(filter.interface): \(Capture.text(words))")
        }
        handle = UInt(bitPattern: opened)
        guard descriptor >= 0 else {
            throw .failed("capture on \(filter.interface): there is no descriptor to wait for")
        }
    }

    deinit { unsafe cpcap_close(pcap) }

    private var pcap: OpaquePointer? { unsafe OpaquePointer(bitPattern: handle) }

    /// libpcap's own words for EPERM and a sandbox's EAFNOSUPPORT differ from version to version.
    private static func checkRight() throws(CaptureError) {
        do throws(SystemError) {
            let kind = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
            _ = Descriptor(owning: try check("socket AF_PACKET") { socket(AF_PACKET, kind, 0) })
        } catch {
            throw .notAllowed(error)
        }
    }

    private static func text(_ words: [CChar]) -> String {
        String(decoding: words.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// To be waited for, as long as the capture is open.
    public var descriptor: Int32 { unsafe cpcap_descriptor(pcap) }
    /// The link layer's type, as capture files name it.
    public var linkType: UInt16 { UInt16(truncatingIfNeeded: unsafe cpcap_link_type(pcap)) }

    /// Packets that were dropped so far for want of room in the ring.
    public var dropped: UInt64? {
        let count = unsafe cpcap_dropped(pcap)
        return count < 0 ? nil : UInt64(count)
    }

    /// Copies the next packet's captured bytes into `buffer`; `nil`: nothing now.
    func next(into buffer: inout [UInt8]) throws(CaptureError) -> CapturedPacket? {
        var packet = unsafe cpcap_packet()
        let code = unsafe cpcap_next(pcap, &packet)
        guard code >= 0 else { throw .failed(unsafe String(cString: cpcap_error(pcap))) }
        guard code == 1, let bytes = unsafe packet.bytes else { return nil }
        let length = unsafe min(Int(packet.captured), buffer.count)
        unsafe buffer.withUnsafeMutableBytes {
            unsafe $0.copyMemory(from: .init(start: bytes, count: length))
        }
        return unsafe CapturedPacket(
            captured: length, length: Int(packet.length), time: WallTime(nanoseconds: packet.nanoseconds))
    }
}

/// What is told of a captured packet beside its bytes.
public struct CapturedPacket: Hashable, Sendable {
    /// How many bytes were captured.
    public var captured: Int
    /// Its length on the wire, in bytes.
    public var length: Int
    /// When the kernel took it from the wire.
    public var time: WallTime
}

/// Reads a capture into one buffer, again and again.
public final class CaptureReader {
    public let capture: Capture
    private var buffer = [UInt8](repeating: 0, count: Int(Capture.capturedBytes))

    public init(_ capture: Capture) { self.capture = capture }

    /// Gives what waits to `body`, at most so many packets: the bytes, which are valid in the call, and the rest.
    public func read(
        atMost count: Int, _ body: (ArraySlice<UInt8>, CapturedPacket) -> Void
    ) throws(CaptureError) {
        for _ in 0..<count {
            guard let packet = try capture.next(into: &buffer) else { return }
            body(buffer[..<packet.captured], packet)
        }
    }
}
