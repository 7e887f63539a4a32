// A stream socket as a client: TCP or Unix, never waiting. The loop tells when it can be written to, which is when
// it is connected.
public import Basics
import CLinux
import Glibc

/// Where a stream goes.
public enum StreamAddress: Hashable, Sendable {
    case unix(path: String)
    /// A name or an address, and a port.
    case tcp(host: String, port: UInt16)
}

/// How a TCP stream leaves this host, and how soon its end is noticed.
public struct StreamRoute: Hashable, Sendable {
    /// The interface that it uses whatever the routes say; `nil`: as routed.
    public var interface: String?
    /// The own address that it comes from; `nil`: as routed.
    public var source: IPv4Address?
    /// What was sent and not acknowledged for so long, or an idle peer that answers no probe, ends the stream
    /// (`TCP_USER_TIMEOUT` and keepalive, which counts in whole seconds); `nil`: the kernel's own patience.
    public var endsAfter: Duration?

    public init(interface: String? = nil, source: IPv4Address? = nil, endsAfter: Duration? = nil) {
        self.interface = interface
        self.source = source
        self.endsAfter = endsAfter
    }

    fileprivate func apply(to raw: Int32, family: Int32) throws(SystemError) {
        guard family != AF_UNIX else { return }
        if let interface { try bindSocket(raw, toDevice: interface) }
        if let source, family == AF_INET { try bindSocket(raw, to: IPv4Endpoint(source, 0)) }
        guard let endsAfter else { return }
        let level = Int32(IPPROTO_TCP)
        let milliseconds = Int32(clamping: endsAfter.nanoseconds / 1_000_000)
        try setOption(raw, level, TCP_USER_TIMEOUT, milliseconds, "TCP_USER_TIMEOUT")
        try setOption(raw, SOL_SOCKET, SO_KEEPALIVE, Int32(1), "SO_KEEPALIVE")
        try setOption(raw, level, TCP_KEEPIDLE, Int32(1), "TCP_KEEPIDLE")
        try setOption(raw, level, TCP_KEEPINTVL, Int32(1), "TCP_KEEPINTVL")
        try setOption(raw, level, TCP_NODELAY, Int32(1), "TCP_NODELAY")
    }
}

/// A stream socket that is being connected or is connected.
public struct StreamSocket: ~Copyable {
    public let descriptor: Descriptor

    /// Takes over a connected socket.
    init(owning descriptor: consuming Descriptor) { self.descriptor = descriptor }

    /// Begins to connect to a resolved address, which is not named if that fails.
    public init(
        connecting address: ResolvedAddress, by route: StreamRoute = StreamRoute()
    ) throws(SystemError) {
        let flags = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let raw = try check("socket") { socket(address.family, flags, 0) }
        let owned = Descriptor(owning: raw)
        try route.apply(to: raw, family: address.family)
        let result = unsafe address.bytes.withUnsafeBytes { bytes in
            unsafe connect(
                raw, bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
        }
        if result != 0 && errno != EINPROGRESS { throw SystemError("connect", number: errno) }
        descriptor = owned
    }

    /// Whether the connection stands, once the socket can be written to.
    ///
    /// - Throws: why it does not.
    public func finishConnecting() throws(SystemError) {
        guard let error = integerOption(descriptor.raw, SOL_SOCKET, SO_ERROR) else { return }
        if error != 0 { throw SystemError("connect", number: error) }
    }

    /// What has come; `nil`: nothing now; empty: the peer has closed.
    ///
    /// - Parameter start: where in the buffer it begins; there is room behind.
    public func receive(into buffer: inout [UInt8], from start: Int = 0) throws(SystemError) -> Int? {
        let raw = descriptor.raw
        return try checkNow("read") {
            unsafe buffer.withUnsafeMutableBytes { bytes in
                unsafe read(raw, bytes.baseAddress.map { unsafe $0 + start }, bytes.count - start)
            }
        }
    }

    /// Writes what fits now; returns how much that was.
    public func send(_ bytes: some Collection<UInt8>) throws(SystemError) -> Int {
        let raw = descriptor.raw
        // What lies in one piece is not copied.
        let sent = bytes.withContiguousStorageIfAvailable { bytes in
            Result { () throws(SystemError) in
                try checkNow("write") {
                    unsafe Glibc.send(raw, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
                } ?? 0
            }
        }
        guard let sent else { return try send(Array(bytes)) }
        return try sent.get()
    }

    /// Nothing more is sent: whoever reads sees the end behind all that was.
    public func endSending() { shutdown(descriptor.raw, Int32(SHUT_WR)) }

    /// What was sent and has not arrived: over TCP the bytes that the peer's kernel has not acknowledged; of a Unix
    /// socket the memory of what the peer has not read. 0: nothing. `nil`: the kernel does not say.
    public var unarrived: Int? {
        var count: Int32 = 0
        let result = unsafe withUnsafeMutablePointer(to: &count) {
            unsafe clinux_ioctl_pointer(descriptor.raw, UInt(TIOCOUTQ), $0)
        }
        return result == 0 ? Int(count) : nil
    }

    /// Ends the connection for both sides: whoever reads sees its end.
    public func shutDown() { shutdown(descriptor.raw, Int32(SHUT_RDWR)) }

    /// How soon the end of a host that went without a word is noticed: `idle` seconds of silence before the first
    /// probe, `interval` between two, `count` that stay unanswered; sent bytes unacknowledged for `patience`.
    public func watch(
        idle: Int32, interval: Int32, count: Int32, patience: Duration
    ) throws(SystemError) {
        let (raw, level) = (descriptor.raw, Int32(IPPROTO_TCP))
        try setOption(raw, SOL_SOCKET, SO_KEEPALIVE, Int32(1), "SO_KEEPALIVE")
        try setOption(raw, level, TCP_KEEPIDLE, idle, "TCP_KEEPIDLE")
        try setOption(raw, level, TCP_KEEPINTVL, interval, "TCP_KEEPINTVL")
        try setOption(raw, level, TCP_KEEPCNT, count, "TCP_KEEPCNT")
        let milliseconds = Int32(clamping: patience.nanoseconds / 1_000_000)
        try setOption(raw, level, TCP_USER_TIMEOUT, milliseconds, "TCP_USER_TIMEOUT")
    }
}

/// An address that a socket can be connected to.
public struct ResolvedAddress: Hashable, Sendable {
    let family: Int32
    let bytes: [UInt8]

    /// A Unix socket's, by its path or, after an `@`, by its abstract name; `nil`: it is too long.
    public init?(unix path: String) {
        var address = sockaddr_un()
        let room = MemoryLayout.size(ofValue: address.sun_path)
        guard path.utf8.count < room else { return nil }
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
        family = AF_UNIX
        var raw = unsafe withUnsafeBytes(of: address) { unsafe Array($0) }
        if path.hasPrefix("@") {
            // An abstract name begins with a NUL and has just these bytes: unix(7).
            let start = raw.count - room
            raw[start] = 0
            raw.removeLast(room - path.utf8.count)
        }
        bytes = raw
    }

    @unsafe private init(_ entry: addrinfo) {
        family = unsafe entry.ai_family
        bytes = unsafe Array(UnsafeRawBufferPointer(start: entry.ai_addr, count: Int(entry.ai_addrlen)))
    }

    /// The addresses of a host, which may take as long as name servers take: for the worker.
    ///
    /// - Returns: at least one address, or why there is none.
    public static func lookUp(host: String, port: UInt16) -> Result<[ResolvedAddress], LookUpFailure> {
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        unsafe hints.ai_flags = AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        let result = unsafe getaddrinfo(host, String(port), &hints, &list)
        guard result == 0 else {
            return .failure(LookUpFailure(description: unsafe String(cString: gai_strerror(result))))
        }
        defer { unsafe freeaddrinfo(list) }
        var addresses: [ResolvedAddress] = []
        var entry = unsafe list
        while let current = unsafe entry, addresses.count < 8 {
            unsafe addresses.append(ResolvedAddress(current.pointee))
            unsafe entry = current.pointee.ai_next
        }
        return addresses.isEmpty
            ? .failure(LookUpFailure(description: "no address")) : .success(addresses)
    }
}

/// Why a name has no address; which name, whoever asked knows.
public struct LookUpFailure: Error, Hashable, Sendable, CustomStringConvertible {
    public var description: String

    public init(description: String) { self.description = description }
}
