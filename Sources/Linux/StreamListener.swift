// A TCP socket that waits for clients, for the servers that tests and demonstrations need.
public import Basics
import CLinux
import Glibc

/// A listening, non-blocking TCP socket.
public struct StreamListener: ~Copyable {
    public let descriptor: Descriptor

    /// Listens on an address of this host, `0.0.0.0` for all.
    public init(at endpoint: IPv4Endpoint) throws(SystemError) {
        let flags = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let raw = try check("socket TCP") { socket(AF_INET, flags, 0) }
        let owned = Descriptor(owning: raw)
        try setOption(raw, SOL_SOCKET, SO_REUSEADDR, Int32(1), "SO_REUSEADDR")
        try bindSocket(raw, to: endpoint)
        try check("listen \(endpoint)") { listen(raw, 64) }
        descriptor = owned
    }

    /// The next client; `nil`: none now.
    public func accept() throws(SystemError) -> StreamSocket? {
        let raw = descriptor.raw
        let accepted = try checkNow("accept") { clinux_accept(raw) }
        guard let accepted else { return nil }
        let owned = Descriptor(owning: accepted)
        // Or what follows a small write waits for the client's delayed acknowledgement, 40 ms.
        try setOption(accepted, Int32(IPPROTO_TCP), TCP_NODELAY, Int32(1), "TCP_NODELAY")
        return StreamSocket(owning: owned)
    }
}
