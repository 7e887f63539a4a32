// Who is at the other end of a TCP connection that a library owns: it may close the descriptor at any time and have
// its number given to another connection, so that whoever acts on one looks first whose it is now.
public import Basics
import CLinux
import Glibc

/// The peers of TCP connections.
public enum PeerAddress {
    /// The address of the peer; `nil`: the connection is gone, or not over IPv4.
    public static func of(_ descriptor: Int32) -> IPv4Endpoint? {
        unsafe ask(descriptor) { unsafe getpeername(descriptor, $0, $1) }
    }

    /// The address of this end.
    static func own(_ descriptor: Int32) -> IPv4Endpoint? {
        unsafe ask(descriptor) { unsafe getsockname(descriptor, $0, $1) }
    }

    private static func ask(
        _ descriptor: Int32,
        _ call: (UnsafeMutablePointer<sockaddr>?, UnsafeMutablePointer<socklen_t>?) -> Int32
    ) -> IPv4Endpoint? {
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { target in
                unsafe call(target, &length)
            }
        }
        guard result == 0, address.sin_family == sa_family_t(AF_INET) else { return nil }
        return IPv4Endpoint(address)
    }

    /// Ends a connection if it came in by the Unix socket at this path, whoever it is now. `false`: it did not.
    public static func hangUp(on descriptor: Int32, by path: String) -> Bool {
        guard let address = ResolvedAddress(unix: path)?.bytes else { return false }
        var own = [UInt8](repeating: 0, count: MemoryLayout<sockaddr_un>.size)
        var length = socklen_t(own.count)
        let result = unsafe own.withUnsafeMutableBytes { bytes in
            unsafe getsockname(
                descriptor, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), &length)
        }
        guard result == 0, own.starts(with: address), length <= address.count else { return false }
        return shutdown(descriptor, Int32(SHUT_RDWR)) == 0
    }

    /// Ends a connection if it is still this peer's: whoever reads from it sees its end. `false`: it is not.
    public static func hangUp(on descriptor: Int32, of peer: IPv4Endpoint) -> Bool {
        of(descriptor) == peer && shutdown(descriptor, Int32(SHUT_RDWR)) == 0
    }
}
