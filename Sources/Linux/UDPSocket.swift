// UDP over IPv4: one socket per multicast group for receiving, one per path for sending.
public import Basics
import CLinux
import Glibc

/// A non-blocking UDP socket.
public struct UDPSocket: ~Copyable, Sendable {
    public let descriptor: Descriptor

    private static func open() throws(SystemError) -> Descriptor {
        Descriptor(
            owning: try check("socket UDP") {
                socket(
                    AF_INET,
                    Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue),
                    0)
            })
    }

    /// A socket that receives what is sent to `endpoint`: a multicast group (to be joined with `join`) or an
    /// address of this host. It takes packets for no other group (`IP_MULTICAST_ALL` = 0), counts what the
    /// kernel drops for want of buffer, and stamps each packet's arrival.
    ///
    /// - Parameters:
    ///   - bufferBytes: the receive buffer to ask for; the kernel caps it at `net.core.rmem_max`.
    ///   - isShared: whether others may receive there, too, as with a group; of an own address, only one of them does.
    public init(receivingAt endpoint: IPv4Endpoint, bufferBytes: Int32, isShared: Bool = true)
        throws(SystemError)
    {
        let opened = try UDPSocket.openForReceiving(bufferBytes: bufferBytes)
        if isShared { try UDPSocket.share(opened) }
        try bindSocket(opened.raw, to: endpoint)
        descriptor = opened
    }

    /// A socket for who asks and is answered: it receives at a port that the kernel chooses and nobody has, at whatever
    /// address. Others may still receive groups at that port, but whoever opens an own address there afterwards takes
    /// what comes to it. So it is none of `kept`.
    ///
    /// - Parameters:
    ///   - kept: ports at which this process receives at an address of its own, now or later.
    ///   - bufferBytes: as above.
    public init(receivingAtPortOtherThan kept: Set<UInt16>, bufferBytes: Int32) throws(SystemError) {
        let opened = try UDPSocket.bound(toPortOtherThan: kept, bufferBytes: bufferBytes)
        try UDPSocket.share(opened)
        descriptor = opened
    }

    /// The port at which it receives; 0: none yet.
    public var port: UInt16 { PeerAddress.own(descriptor.raw)?.port ?? 0 }

    /// Each port that is none to have is held until another one is found: so none of them is tried twice.
    private static func bound(
        toPortOtherThan kept: Set<UInt16>, bufferBytes: Int32
    ) throws(SystemError) -> Descriptor {
        let opened = try openForReceiving(bufferBytes: bufferBytes)
        // Shared with somebody's reusable socket before it is bound, it could get that one's port.
        try bindSocket(opened.raw, to: IPv4Endpoint(.any, 0))
        guard let port = PeerAddress.own(opened.raw)?.port, kept.contains(port) else { return opened }
        let other = try bound(toPortOtherThan: kept, bufferBytes: bufferBytes)
        withExtendedLifetime(opened) {}
        return other
    }

    private static func openForReceiving(bufferBytes: Int32) throws(SystemError) -> Descriptor {
        let opened = try UDPSocket.open()
        let raw = opened.raw
        try setOption(raw, Int32(IPPROTO_IP), IP_MULTICAST_ALL, Int32(0), "IP_MULTICAST_ALL")
        try setOption(raw, SOL_SOCKET, SO_RXQ_OVFL, Int32(1), "SO_RXQ_OVFL")
        try setOption(raw, SOL_SOCKET, SO_TIMESTAMPNS, Int32(1), "SO_TIMESTAMPNS")
        if (try? setOption(raw, SOL_SOCKET, SO_RCVBUFFORCE, bufferBytes, "SO_RCVBUFFORCE")) == nil {
            try setOption(raw, SOL_SOCKET, SO_RCVBUF, bufferBytes, "SO_RCVBUF")
        }
        return opened
    }

    private static func share(_ descriptor: borrowing Descriptor) throws(SystemError) {
        try setOption(descriptor.raw, SOL_SOCKET, SO_REUSEADDR, Int32(1), "SO_REUSEADDR")
    }

    /// A socket for sending. With an interface, multicast leaves through it, whatever the routes say.
    public init(sendingThrough interface: String?) throws(SystemError) {
        let opened = try UDPSocket.open()
        let raw = opened.raw
        try setOption(raw, Int32(IPPROTO_IP), IP_MULTICAST_TTL, Int32(16), "IP_MULTICAST_TTL")
        try setOption(raw, SOL_SOCKET, SO_SNDBUF, Int32(4 << 20), "SO_SNDBUF")
        if let interface {
            guard let index = Interface.index(of: interface) else {
                throw SystemError("interface \(interface)", number: ENODEV)
            }
            var request = ip_mreqn()
            request.imr_ifindex = index
            try setOption(raw, Int32(IPPROTO_IP), IP_MULTICAST_IF, request, "IP_MULTICAST_IF \(interface)")
        }
        descriptor = opened
    }

    /// A socket that is a member of a group on an interface and receives nothing: for who watches the wire.
    ///
    /// - Throws: `SystemError`; may wait for the kernel's network configuration lock.
    public init(joining group: IPv4Address, on interface: String, source: IPv4Address?) throws(SystemError) {
        guard let index = Interface.index(of: interface) else {
            throw SystemError("interface \(interface)", number: ENODEV)
        }
        let opened = try UDPSocket.open()
        try UDPSocket.join(opened.raw, group, interfaceIndex: index, source: source)
        descriptor = opened
    }

    /// The receive buffer that the kernel granted, in bytes of payload and overhead.
    public var receiveBufferBytes: Int32 { integerOption(descriptor.raw, SOL_SOCKET, SO_RCVBUF) ?? 0 }

    /// Joins a multicast group on an interface, from any sender or from `source` only. The interface needs no address;
    /// `nil`: as routed.
    public func join(
        _ group: IPv4Address, interfaceIndex: Int32?, source: IPv4Address?
    ) throws(SystemError) {
        try UDPSocket.join(descriptor.raw, group, interfaceIndex: interfaceIndex, source: source)
    }

    private static func join(
        _ raw: Int32, _ group: IPv4Address, interfaceIndex: Int32?, source: IPv4Address?
    ) throws(SystemError) {
        let level = Int32(IPPROTO_IP)
        if let source {
            var request = group_source_req()
            request.gsr_interface = UInt32(bitPattern: interfaceIndex ?? 0)
            unsafe withUnsafeMutableBytes(of: &request.gsr_group) {
                unsafe $0.storeBytes(of: IPv4Endpoint(group, 0).socketAddress, as: sockaddr_in.self)
            }
            unsafe withUnsafeMutableBytes(of: &request.gsr_source) {
                unsafe $0.storeBytes(of: IPv4Endpoint(source, 0).socketAddress, as: sockaddr_in.self)
            }
            try setOption(
                raw, level, MCAST_JOIN_SOURCE_GROUP, request,
                "MCAST_JOIN_SOURCE_GROUP \(group) from \(source)")
        } else {
            var request = ip_mreqn()
            request.imr_multiaddr = group.inAddress
            request.imr_ifindex = interfaceIndex ?? 0
            try setOption(raw, level, IP_ADD_MEMBERSHIP, request, "IP_ADD_MEMBERSHIP \(group)")
        }
    }

    /// Leaves a group joined without a source; a group that was not joined is no error.
    public func leave(_ group: IPv4Address, interfaceIndex: Int32) {
        var request = ip_mreqn()
        request.imr_multiaddr = group.inAddress
        request.imr_ifindex = interfaceIndex
        try? setOption(
            descriptor.raw, Int32(IPPROTO_IP), IP_DROP_MEMBERSHIP, request, "IP_DROP_MEMBERSHIP")
    }

    /// Sends one datagram. `false`: the socket's buffer is full now.
    public func send(_ bytes: [UInt8], to endpoint: IPv4Endpoint) throws(SystemError) -> Bool {
        var address = endpoint.socketAddress
        let raw = descriptor.raw
        let sent = try checkNow("send to \(endpoint)") {
            unsafe withUnsafePointer(to: &address) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { target in
                    unsafe bytes.withUnsafeBytes {
                        unsafe sendto(
                            raw, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL), target,
                            socklen_t(MemoryLayout<sockaddr_in>.size))
                    }
                }
            }
        }
        return sent != nil
    }

    /// Sends several datagrams of one length at once, which the kernel cuts (UDP_SEGMENT): all bytes, 65,507 at the
    /// most. Waits while the socket's buffer is full.
    public func sendSegments(_ bytes: [UInt8], ofBytes length: UInt16, to endpoint: IPv4Endpoint)
        throws(SystemError)
    {
        var address = endpoint.socketAddress
        let raw = descriptor.raw
        while true {
            let sent = try checkNow("send segments to \(endpoint)") {
                unsafe bytes.withUnsafeBytes {
                    unsafe clinux_send_segments(raw, $0.baseAddress, $0.count, length, &address)
                }
            }
            if sent != nil { return }
            var waiting = pollfd(fd: raw, events: Int16(POLLOUT), revents: 0)
            _ = unsafe poll(&waiting, 1, 100)
        }
    }
}
