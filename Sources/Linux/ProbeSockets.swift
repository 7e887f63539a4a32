// Sockets that probe a host: a TCP connection that is dropped as soon as it stands, and a UDP socket to one peer.
// Neither waits, and both leave by the interface that they are told.
public import Basics
import CLinux
import Glibc

/// A TCP connection that is only to prove that its host answers.
public struct ConnectSocket: ~Copyable {
    public enum Outcome: Hashable, Sendable {
        /// The host accepted; the round trip as the kernel took it, where it tells.
        case connected(roundTrip: Duration?)
        /// The host said no, and so is there.
        case refused
        /// The network, or the kernel for want of an answer, gave up.
        case failed(SystemError)
    }

    public let descriptor: Descriptor
    /// What was known at once.
    private let early: Int32

    /// - Throws: what keeps this host from sending: no route, no such interface, no descriptor.
    public init(to address: IPAddress, port: UInt16, interface: String?) throws(SystemError) {
        let opened = try openSocket(address.family, SOCK_STREAM, 0, "socket TCP")
        let raw = opened.raw
        if let interface { try bindSocket(raw, toDevice: interface) }
        // Dropped by a reset, so that neither side keeps it in TIME_WAIT.
        try setOption(raw, SOL_SOCKET, SO_LINGER, linger(l_onoff: 1, l_linger: 0), "SO_LINGER")
        let number = connectSocket(raw, address, port)
        guard number == 0 || number == EINPROGRESS || number == ECONNREFUSED else {
            throw SystemError("connect", number: number)
        }
        early = number == ECONNREFUSED ? number : 0
        descriptor = opened
    }

    /// What became of it, once the socket can be written to.
    public var outcome: Outcome {
        let number = early != 0 ? early : integerOption(descriptor.raw, SOL_SOCKET, SO_ERROR) ?? 0
        switch number {
        case 0: return .connected(roundTrip: roundTrip)
        case ECONNREFUSED: return .refused
        default: return .failed(SystemError("connect", number: number))
        }
    }

    /// `tcpi_rtt`: the time from SYN to SYN-ACK.
    private var roundTrip: Duration? {
        var info = tcp_info()
        var size = socklen_t(MemoryLayout<tcp_info>.size)
        let result = unsafe getsockopt(descriptor.raw, Int32(IPPROTO_TCP), TCP_INFO, &info, &size)
        guard result == 0, info.tcpi_rtt > 0 else { return nil }
        return .microseconds(Int64(info.tcpi_rtt))
    }
}

/// A UDP socket that talks to one peer.
public struct QuerySocket: ~Copyable {
    public let descriptor: Descriptor

    public init(to address: IPAddress, port: UInt16, interface: String?) throws(SystemError) {
        let opened = try openSocket(address.family, SOCK_DGRAM, 0, "socket UDP")
        if let interface { try bindSocket(opened.raw, toDevice: interface) }
        let number = connectSocket(opened.raw, address, port)
        if number != 0 { throw SystemError("connect UDP", number: number) }
        descriptor = opened
    }

    /// Sends one datagram. `false`: the socket's buffer is full now.
    ///
    /// - Throws: also what an earlier datagram met with (ECONNREFUSED: nobody listens), once.
    public func send(_ bytes: [UInt8]) throws(SystemError) -> Bool {
        let raw = descriptor.raw
        return try checkNow("send") { unsafe Glibc.send(raw, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }
            != nil
    }

    /// The length of the next datagram, which is cut to the buffer; `nil`: nothing now.
    public func receive(into buffer: inout [UInt8]) throws(SystemError) -> Int? {
        let raw = descriptor.raw
        return try checkNow("receive") { unsafe recv(raw, &buffer, buffer.count, 0) }
    }
}

/// The address of this host by which it would send to another, as the kernel chooses it; `nil`: it would not send.
/// Nothing is sent.
public func sourceAddress(towards address: IPAddress, interface: String?) -> IPAddress? {
    guard let asked = try? QuerySocket(to: address, port: 9, interface: interface) else { return nil }
    var storage = sockaddr_storage()
    var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let result = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            unsafe getsockname(asked.descriptor.raw, $0, &size)
        }
    }
    return result == 0 ? IPAddress(storage) : nil
}

/// A non-blocking socket of a family.
func openSocket(_ family: IPFamily, _ kind: __socket_type, _ protocolNumber: Int32, _ name: String)
    throws(SystemError) -> Descriptor
{
    let flags = Int32(kind.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    return Descriptor(
        owning: try check(name) { socket(family == .v4 ? AF_INET : AF_INET6, flags, protocolNumber) })
}

func bindSocket(_ raw: Int32, toDevice interface: String) throws(SystemError) {
    let name = Array(interface.utf8)
    try check("SO_BINDTODEVICE \(interface)") {
        unsafe setsockopt(raw, SOL_SOCKET, SO_BINDTODEVICE, name, socklen_t(name.count))
    }
}

/// bind(2) to an address and port of this host.
func bindSocket(_ raw: Int32, to endpoint: IPv4Endpoint) throws(SystemError) {
    var address = endpoint.socketAddress
    try check("bind \(endpoint)") {
        unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(raw, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}

/// connect(2); returns its errno, or 0.
private func connectSocket(_ raw: Int32, _ address: IPAddress, _ port: UInt16) -> Int32 {
    let result = unsafe withSocketAddress(address, port) { unsafe connect(raw, $0, $1) }
    return result == 0 ? 0 : errno
}

/// The kernel's structure for an address of either family.
func withSocketAddress<Result>(
    _ address: IPAddress, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
) -> Result {
    switch address {
    case .v4(let address):
        var socketAddress = IPv4Endpoint(address, port).socketAddress
        return unsafe withUnsafePointer(to: &socketAddress) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    case .v6(let address):
        var socketAddress = sockaddr_in6()
        socketAddress.sin6_family = sa_family_t(AF_INET6)
        socketAddress.sin6_port = port.bigEndian
        unsafe withUnsafeMutableBytes(of: &socketAddress.sin6_addr) {
            unsafe $0.copyBytes(from: address.bytes)
        }
        return unsafe withUnsafePointer(to: &socketAddress) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe body($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
            }
        }
    }
}

extension IPAddress {
    /// Reads what the kernel wrote; `nil` for another family.
    init?(_ storage: sockaddr_storage) {
        var storage = storage
        let bytes = unsafe withUnsafeBytes(of: &storage) { unsafe Array($0) }
        switch Int32(storage.ss_family) {
        case AF_INET:
            self = .v4(IPv4Address(number: bytes[4..<8].reduce(0) { $0 << 8 | UInt32($1) }))
        case AF_INET6:
            guard let address = IPv6Address(bytes: bytes[8..<24]) else { return nil }
            self = .v6(address)
        default: return nil
        }
    }
}
