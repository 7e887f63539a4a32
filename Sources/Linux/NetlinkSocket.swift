// A netlink socket: datagrams in, requests out, and the two things that a listener must not overlook: a
// sender that is not the kernel, and an overrun, after which only a new dump tells the truth.
import CLinux
import Glibc

/// What one look at a netlink socket found.
public enum NetlinkReceipt {
    /// Nothing now.
    case nothing
    /// One datagram, which may hold several messages, and who sent it: 0 is the kernel.
    case datagram(ArraySlice<UInt8>, sender: UInt32)
    /// The kernel dropped messages for want of buffer (ENOBUFS): ask for a dump.
    case overrun
    /// A datagram longer than the buffer was cut: ask for a dump.
    case truncated
}

/// A socket of `NETLINK_ROUTE` or `NETLINK_GENERIC`.
public struct NetlinkSocket: ~Copyable, Sendable {
    /// Which part of the kernel answers.
    public enum Family: Sendable {
        case route, generic

        var number: Int32 { self == .route ? NETLINK_ROUTE : NETLINK_GENERIC }
    }

    public let descriptor: Descriptor

    /// - Parameter groups: multicast groups to join, `RTNLGRP_…`.
    /// - Parameter isBlocking: for a worker thread, which waits for the answer; bounded to 5 s.
    public init(_ family: Family = .route, groups: [UInt32] = [], isBlocking: Bool = false)
        throws(SystemError)
    {
        let flags = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let mode = isBlocking ? 0 : Int32(SOCK_NONBLOCK.rawValue)
        let opened = Descriptor(
            owning: try check("socket netlink") { socket(AF_NETLINK, flags | mode, family.number) })
        let raw = opened.raw
        try setOption(raw, SOL_SOCKET, SO_RCVBUF, Int32(1 << 20), "SO_RCVBUF")
        if isBlocking {
            try setOption(raw, SOL_SOCKET, SO_RCVTIMEO, timeval(tv_sec: 5, tv_usec: 0), "SO_RCVTIMEO")
        }
        // The kernel passes over sockets without a port when it broadcasts, and gives one by bind().
        var own = sockaddr_nl()
        own.nl_family = sa_family_t(AF_NETLINK)
        try check("bind netlink") {
            unsafe withUnsafePointer(to: &own) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    unsafe bind(raw, $0, socklen_t(MemoryLayout<sockaddr_nl>.size))
                }
            }
        }
        for group in groups {
            try setOption(raw, 270, Int32(NETLINK_ADD_MEMBERSHIP), group, "NETLINK_ADD_MEMBERSHIP \(group)")
        }
        descriptor = opened
    }

    /// Sends one request to the kernel.
    public func send(_ message: [UInt8]) throws(SystemError) {
        var address = sockaddr_nl()
        address.nl_family = sa_family_t(AF_NETLINK)
        let raw = descriptor.raw
        try check("send to the kernel by netlink") {
            unsafe withUnsafePointer(to: &address) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { target in
                    unsafe message.withUnsafeBytes {
                        unsafe sendto(
                            raw, $0.baseAddress, $0.count, 0, target,
                            socklen_t(MemoryLayout<sockaddr_nl>.size))
                    }
                }
            }
        }
    }

    /// Takes one datagram into `buffer`, which should hold 64 KiB.
    public func receive(into buffer: inout [UInt8]) throws(SystemError) -> NetlinkReceipt {
        var address = sockaddr_nl()
        var size = socklen_t(MemoryLayout<sockaddr_nl>.size)
        let raw = descriptor.raw
        let received: Int?
        do throws(SystemError) {
            received = try checkNow("receive by netlink") {
                unsafe withUnsafeMutablePointer(to: &address) { pointer in
                    unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { sender in
                        unsafe buffer.withUnsafeMutableBytes {
                            unsafe recvfrom(
                                raw, $0.baseAddress, $0.count, Int32(MSG_TRUNC), sender, &size)
                        }
                    }
                }
            }
        } catch {
            if error.number == ENOBUFS { return .overrun }
            throw error
        }
        guard let received else { return .nothing }
        guard received <= buffer.count else { return .truncated }
        return .datagram(buffer[..<received], sender: address.nl_pid)
    }
}
