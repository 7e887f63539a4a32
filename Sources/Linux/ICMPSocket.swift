// ICMP and ICMPv6 echo with the kernel's own stamps of departure and arrival, so that neither the scheduler nor
// the loop counts as network. Raw with CAP_NET_RAW, else a datagram socket where ping_group_range allows it.
public import Basics
import CLinux
import Glibc

/// What an ICMP socket received.
public enum ICMPReceipt: Hashable, Sendable {
    /// An echo reply.
    case reply(source: IPAddress, identifier: UInt16, sequence: UInt16, receivedAt: WallTime?)
    /// The kernel handed probe number `index` (counted from 0 on this socket, and again by `renumber`) to the device.
    case departed(index: UInt32, at: WallTime)
    /// A router or this host says that the target cannot be reached: ICMP type and code, from `source`.
    case unreachable(source: IPAddress?, type: UInt8, code: UInt8, error: Int32)
    /// Something that is none of these.
    case other
}

/// A non-blocking socket for ICMP echo.
public struct ICMPSocket: ~Copyable {
    public enum Access: Sendable {
        /// CAP_NET_RAW: our own identifier, a filter in the kernel.
        case raw
        /// `net.ipv4.ping_group_range`: the kernel chooses the identifier.
        case datagram
    }

    public let descriptor: Descriptor
    public let access: Access
    public let family: IPFamily

    /// - Parameter interface: probes leave and replies arrive through it (`SO_BINDTODEVICE`).
    /// - Throws: the error of the raw socket when neither kind may be opened.
    public init(access: Access, interface: String?, family: IPFamily = .v4) throws(SystemError) {
        let opened = try openSocket(
            family, access == .raw ? SOCK_RAW : SOCK_DGRAM,
            family == .v4 ? Int32(IPPROTO_ICMP) : Int32(IPPROTO_ICMPV6), "socket ICMP (\(access))")
        let raw = opened.raw
        if let interface { try bindSocket(raw, toDevice: interface) }
        switch family {
        case .v4: try setOption(raw, Int32(IPPROTO_IP), IP_RECVERR, Int32(1), "IP_RECVERR")
        case .v6: try setOption(raw, Int32(IPPROTO_IPV6), IPV6_RECVERR, Int32(1), "IPV6_RECVERR")
        }
        try setOption(raw, SOL_SOCKET, SO_TIMESTAMPING, ICMPSocket.numberedStamps, "SO_TIMESTAMPING")
        descriptor = opened
        self.access = access
        self.family = family
    }

    private static let stamps = Int32(
        SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE
            | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_TSONLY)
    private static let numberedStamps = stamps | Int32(SOF_TIMESTAMPING_OPT_ID)

    /// Has the kernel count the probes from 0 again, as it does when it is asked for numbers and was not before.
    public func renumber() throws(SystemError) {
        let raw = descriptor.raw
        try setOption(raw, SOL_SOCKET, SO_TIMESTAMPING, ICMPSocket.stamps, "SO_TIMESTAMPING")
        try setOption(raw, SOL_SOCKET, SO_TIMESTAMPING, ICMPSocket.numberedStamps, "SO_TIMESTAMPING")
    }

    /// Has the kernel drop all but echo replies with this identifier (raw sockets only).
    public func accept(identifier: UInt16) throws(SystemError) {
        // IPv4: x = length of the IP header; ICMPv6 comes without one. The type at x must be that of an echo
        // reply, the identifier at x+4 ours.
        let isV4 = family == .v4
        var program = [
            isV4
                ? sock_filter(code: 0xB1, jt: 0, jf: 0, k: 0) : sock_filter(code: 0x01, jt: 0, jf: 0, k: 0),
            sock_filter(code: 0x50, jt: 0, jf: 0, k: 0),
            sock_filter(code: 0x15, jt: 0, jf: 3, k: isV4 ? 0 : 129),
            sock_filter(code: 0x48, jt: 0, jf: 0, k: 4),
            sock_filter(code: 0x15, jt: 0, jf: 1, k: UInt32(identifier)),
            sock_filter(code: 0x06, jt: 0, jf: 0, k: 0xFFFF),
            sock_filter(code: 0x06, jt: 0, jf: 0, k: 0),
        ]
        let raw = descriptor.raw
        let count = UInt16(program.count)
        try unsafe program.withUnsafeMutableBufferPointer { buffer throws(SystemError) in
            let filter = unsafe sock_fprog(len: count, filter: buffer.baseAddress)
            try unsafe setOption(raw, SOL_SOCKET, SO_ATTACH_FILTER, filter, "SO_ATTACH_FILTER")
        }
    }

    /// The identifier that the kernel gave a datagram socket; a raw socket has none of its own.
    public var kernelIdentifier: UInt16? {
        guard access == .datagram else { return nil }
        var address = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let raw = descriptor.raw
        let result = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe getsockname(raw, $0, &size)
            }
        }
        return result == 0 ? UInt16(bigEndian: address.sin_port) : nil
    }

    /// Sends one echo request with 16 bytes of payload to an address of the socket's family. `false`: the
    /// socket's buffer is full now.
    public func sendEcho(to target: IPAddress, identifier: UInt16, sequence: UInt16)
        throws(SystemError)
        -> Bool
    {
        let packet = ICMPSocket.echoRequest(family, identifier: identifier, sequence: sequence)
        let raw = descriptor.raw
        let sent = try checkNow("send echo to \(target)") {
            unsafe withSocketAddress(target, 0) { destination, size in
                unsafe packet.withUnsafeBytes {
                    unsafe sendto(raw, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL), destination, size)
                }
            }
        }
        return sent != nil
    }

    /// RFC 792 and RFC 4443: type 8 or 128, code 0, checksum, identifier, sequence, payload. The kernel fills in
    /// the checksum of ICMPv6, which covers addresses that only it knows.
    static func echoRequest(_ family: IPFamily = .v4, identifier: UInt16, sequence: UInt16) -> [UInt8] {
        var writer = ByteWriter(capacity: 24)
        writer.bigEndian(UInt32(family == .v4 ? 0x0800_0000 : 0x8000_0000))
        writer.bigEndian(identifier)
        writer.bigEndian(sequence)
        writer.append("holdfast-probe--".utf8)
        guard family == .v4 else { return writer.bytes }
        let sum = internetChecksum(writer.bytes)
        writer.bytes[2] = UInt8(sum >> 8)
        writer.bytes[3] = UInt8(sum & 0xFF)
        return writer.bytes
    }

    /// The next receipt; `nil`: nothing now. Errors that the kernel has queued for the socket are skipped:
    /// they come as receipts too.
    public func receive() throws(SystemError) -> ICMPReceipt? {
        if let receipt = try receive(flags: Int32(MSG_DONTWAIT)) { return receipt }
        return try receive(flags: Int32(MSG_DONTWAIT) | Int32(MSG_ERRQUEUE))
    }

    private func receive(flags: Int32) throws(SystemError) -> ICMPReceipt? {
        var failure: SystemError?
        for _ in 0..<4 {
            switch receiveOnce(flags) {
            case .success(let receipt): return receipt
            case .failure(let error):
                if error.number == EAGAIN { return nil }
                failure = error
            }
        }
        if let failure, !ICMPSocket.comesByWire(failure.number) { throw failure }
        return nil
    }

    /// Whether an ICMP answer to an earlier probe may have left the error (`icmp_err_convert` of net/ipv4/icmp.c, and
    /// its like of IPv6). Such an error fails one call, and waits in the error queue besides.
    private static func comesByWire(_ number: Int32) -> Bool {
        switch number {
        case EHOSTUNREACH, ENETUNREACH, ECONNREFUSED, EPROTO, EHOSTDOWN, ENETDOWN, EACCES, EMSGSIZE,
            ENOPROTOOPT, EOPNOTSUPP, ENONET, EINTR:
            true
        default: false
        }
    }

    private func receiveOnce(_ flags: Int32) -> Result<ICMPReceipt, SystemError> {
        var sender = sockaddr_storage()
        // On the stack: a path is asked many times a second.
        return unsafe withUnsafeTemporaryAllocation(byteCount: 512, alignment: 8) { bytes in
            unsafe withUnsafeTemporaryAllocation(byteCount: 512, alignment: 8) { controls in
                unsafe withUnsafeMutablePointer(to: &sender) { name in
                    unsafe receiveOnce(flags, into: bytes, controls, name)
                }
            }
        }
    }

    private func receiveOnce(
        _ flags: Int32, into bytes: UnsafeMutableRawBufferPointer,
        _ controls: UnsafeMutableRawBufferPointer,
        _ name: UnsafeMutablePointer<sockaddr_storage>
    ) -> Result<ICMPReceipt, SystemError> {
        var vector = unsafe iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
        return unsafe withUnsafeMutablePointer(to: &vector) { vector in
            var header = unsafe msghdr()
            unsafe header.msg_name = UnsafeMutableRawPointer(name)
            unsafe header.msg_namelen = socklen_t(MemoryLayout<sockaddr_storage>.size)
            unsafe header.msg_iov = vector
            unsafe header.msg_iovlen = 1
            unsafe header.msg_control = controls.baseAddress
            unsafe header.msg_controllen = controls.count
            let count = unsafe recvmsg(descriptor.raw, &header, flags)
            guard count >= 0 else { return .failure(SystemError("recvmsg ICMP", number: errno)) }
            let read = unsafe UnsafeRawBufferPointer(rebasing: bytes[..<min(count, bytes.count)])
            let receipt = unsafe ICMPSocket.receipt(
                &header, Array(read), from: IPAddress(name.pointee),
                isError: flags & Int32(MSG_ERRQUEUE) != 0, hasHeader: access == .raw && family == .v4)
            return .success(receipt)
        }
    }

    private static func receipt(
        _ header: UnsafeMutablePointer<msghdr>, _ bytes: [UInt8], from source: IPAddress?,
        isError: Bool,
        hasHeader: Bool
    ) -> ICMPReceipt {
        let controls = unsafe Controls(header)
        if isError {
            if let failure = controls.failure {
                if failure.origin == UInt8(SO_EE_ORIGIN_TIMESTAMPING), let stamp = controls.stamp {
                    return .departed(index: failure.data, at: stamp)
                }
                return .unreachable(
                    source: failure.offender ?? source, type: failure.type, code: failure.code,
                    error: failure.number)
            }
            return .other
        }
        guard let source, let reply = echoReply(bytes, source.family, hasHeader: hasHeader) else {
            return .other
        }
        return .reply(
            source: source, identifier: reply.identifier, sequence: reply.sequence,
            receivedAt: controls.stamp
        )
    }

    /// Reads an echo reply, behind its IP header where the kernel gives that too.
    static func echoReply(_ bytes: [UInt8], _ family: IPFamily, hasHeader: Bool) -> (
        identifier: UInt16, sequence: UInt16
    )? {
        var reader = ByteReader(bytes)
        do throws(EndOfBytes) {
            if hasHeader {
                let version = try reader.integer(UInt8.self)
                guard version >> 4 == 4, version & 15 >= 5 else { return nil }
                _ = try reader.take(Int(version & 15) * 4 - 1)
            }
            guard try reader.integer(UInt16.self) == (family == .v4 ? 0 : 0x8100) else { return nil }
            _ = try reader.take(2)
            return (try reader.integer(UInt16.self), try reader.integer(UInt16.self))
        } catch {
            return nil
        }
    }
}

/// The control messages of one received packet: a stamp, and an error with where it came from.
private struct Controls {
    struct Failure {
        var number: Int32
        var origin: UInt8
        var type: UInt8
        var code: UInt8
        var data: UInt32
        var offender: IPAddress?
    }

    var stamp: WallTime?
    var failure: Failure?

    init(_ header: UnsafeMutablePointer<msghdr>) {
        var control = unsafe clinux_cmsg_first(header)
        while let current = unsafe control {
            let data = unsafe UnsafeRawPointer(clinux_cmsg_data(current)!)
            let level = unsafe current.pointee.cmsg_level
            let type = unsafe current.pointee.cmsg_type
            if level == SOL_SOCKET && type == SO_TIMESTAMPING {
                let time = unsafe data.loadUnaligned(as: timespec.self)
                if time.tv_sec != 0 { stamp = WallTime(nanoseconds: nanoseconds(time)) }
            } else if level == Int32(IPPROTO_IP) && type == IP_RECVERR
                || level == Int32(IPPROTO_IPV6) && type == IPV6_RECVERR
            {
                unsafe read(data)
            }
            unsafe control = clinux_cmsg_next(header, current)
        }
    }

    /// struct sock_extended_err, and the address of the router that complained behind it.
    private mutating func read(_ data: UnsafeRawPointer) {
        let error = unsafe data.loadUnaligned(as: sock_extended_err.self)
        let offender = unsafe data.loadUnaligned(
            fromByteOffset: MemoryLayout<sock_extended_err>.size, as: sockaddr_in.self)
        let isIPv4 = offender.sin_family == sa_family_t(AF_INET)
        failure = Failure(
            number: Int32(truncatingIfNeeded: error.ee_errno), origin: error.ee_origin,
            type: error.ee_type,
            code: error.ee_code, data: error.ee_data,
            offender: isIPv4 ? .v4(IPv4Address(offender.sin_addr)) : nil)
    }
}

/// RFC 1071.
func internetChecksum(_ bytes: [UInt8]) -> UInt16 {
    var sum: UInt32 = 0
    var index = 0
    while index < bytes.count {
        let low = index + 1 < bytes.count ? UInt32(bytes[index + 1]) : 0
        sum += UInt32(bytes[index]) << 8 | low
        index += 2
    }
    while sum >> 16 != 0 { sum = (sum & 0xFFFF) + (sum >> 16) }
    return ~UInt16(truncatingIfNeeded: sum)
}
