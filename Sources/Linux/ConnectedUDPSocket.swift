// UDP to one address, as a client of a service on this host: only that address is heard, and a port where nobody
// listens is an error instead of silence.
public import Basics
import CLinux
import Glibc

/// A non-blocking UDP socket that is connected to one peer.
public struct ConnectedUDPSocket: ~Copyable {
    public let descriptor: Descriptor

    public init(to peer: IPv4Endpoint) throws(SystemError) {
        let flags = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let raw = try check("socket UDP") { socket(AF_INET, flags, 0) }
        let owned = Descriptor(owning: raw)
        var address = peer.socketAddress
        try check("connect \(peer)") {
            unsafe withUnsafePointer(to: &address) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    unsafe connect(raw, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
        descriptor = owned
    }

    /// - Throws: ECONNREFUSED when an earlier datagram found nobody.
    public func send(_ bytes: [UInt8]) throws(SystemError) {
        let raw = descriptor.raw
        _ = try checkNow("send") { unsafe Glibc.send(raw, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }
    }

    /// The next datagram, cut to `limit` bytes; `nil`: none now.
    ///
    /// - Throws: ECONNREFUSED when nobody listens there.
    public func receive(limit: Int) throws(SystemError) -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: limit)
        let raw = descriptor.raw
        let count = try checkNow("recv") { unsafe recv(raw, &buffer, limit, 0) }
        return count.map { Array(buffer[..<$0]) }
    }
}
