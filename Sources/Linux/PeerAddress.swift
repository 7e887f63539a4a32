// Who is at either end of a TCP connection.
public import Basics
import CLinux
import Glibc

/// The addresses of a TCP connection.
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
}
