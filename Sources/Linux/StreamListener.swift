// A stream socket that waits for clients, TCP or Unix.
public import Basics
import CLinux
import Glibc

/// A listening, non-blocking stream socket.
public struct StreamListener: ~Copyable {
    public let descriptor: Descriptor
    private let isTCP: Bool
    /// The file of a Unix socket, which goes with it.
    private let file: String?

    /// Listens on an address of this host, `0.0.0.0` for all; port 0: the kernel chooses one.
    ///
    /// - Parameter backlog: connections that the kernel makes before they are accepted.
    public init(at endpoint: IPv4Endpoint, backlog: Int32 = 64) throws(SystemError) {
        let flags = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let raw = try check("socket TCP") { socket(AF_INET, flags, 0) }
        let owned = Descriptor(owning: raw)
        try setOption(raw, SOL_SOCKET, SO_REUSEADDR, Int32(1), "SO_REUSEADDR")
        try bindSocket(raw, to: endpoint)
        try check("listen \(endpoint)") { listen(raw, backlog) }
        descriptor = owned
        isTCP = true
        file = nil
    }

    /// Listens at a path, or at an abstract name where it begins with `@`. A file that is there is replaced: the
    /// caller has made sure that nobody serves it.
    public init(unix path: String, backlog: Int32 = 64) throws(SystemError) {
        guard let address = ResolvedAddress(unix: path) else {
            throw SystemError("bind \(path)", number: ENAMETOOLONG)
        }
        let flags = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let raw = try check("socket Unix") { socket(AF_UNIX, flags, 0) }
        let owned = Descriptor(owning: raw)
        let isAbstract = path.hasPrefix("@")
        if !isAbstract { unsafe unlink(path) }
        try check("bind \(path)") {
            unsafe address.bytes.withUnsafeBytes { bytes in
                unsafe bind(
                    raw, bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
            }
        }
        try check("listen \(path)") { listen(raw, backlog) }
        descriptor = owned
        isTCP = false
        file = isAbstract ? nil : path
    }

    deinit { if let file { unsafe unlink(file) } }

    /// Where it listens, with the port that the kernel chose; `nil`: not by IPv4.
    public var endpoint: IPv4Endpoint? { PeerAddress.own(descriptor.raw) }

    /// The next client; `nil`: none now.
    public func accept() throws(SystemError) -> StreamSocket? {
        let raw = descriptor.raw
        let accepted = try checkNow("accept") { clinux_accept(raw) }
        guard let accepted else { return nil }
        let owned = Descriptor(owning: accepted)
        // Or what follows a small write waits for the client's delayed acknowledgement, 40 ms.
        if isTCP { try setOption(accepted, Int32(IPPROTO_TCP), TCP_NODELAY, Int32(1), "TCP_NODELAY") }
        return StreamSocket(owning: owned)
    }
}
