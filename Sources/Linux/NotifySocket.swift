// The service manager's socket. libsystemd's own call waits for as long as the manager does not read, and a daemon
// whose word is awaited elsewhere cannot.
import CLinux
import Glibc

/// Where the service manager listens: $NOTIFY_SOCKET, by the protocol of sd_notify(3).
public enum NotifySocket {
    /// How long a manager that is behind is waited for, in microseconds, where its word matters.
    private static let patience = 50_000

    /// Sends. Returns `false` if it was not taken, or there is no service manager.
    ///
    /// - Parameters:
    ///   - path: absolute, or `@` and the name of an abstract socket.
    ///   - waits: a moment for a manager that is behind, and not at all otherwise.
    public static func offer(_ text: String, to path: String? = environment, waits: Bool = false) -> Bool {
        guard let path, path.hasPrefix("/") || path.hasPrefix("@"), path.utf8.count > 1,
            var address = sockaddr_un(path: path)
        else { return false }
        var length = socklen_t(MemoryLayout<sockaddr_un>.size)
        if path.hasPrefix("@") {
            address.sun_path.0 = 0
            length = socklen_t(MemoryLayout<sa_family_t>.size + path.utf8.count)
        }
        let raw = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard raw >= 0 else { return false }
        let descriptor = Descriptor(owning: raw)
        if waits {
            let limit = timeval(tv_sec: 0, tv_usec: patience)
            try? setOption(raw, SOL_SOCKET, SO_SNDTIMEO, limit, "SO_SNDTIMEO")
        }
        let flags = Int32(MSG_NOSIGNAL) | (waits ? 0 : Int32(MSG_DONTWAIT))
        let bytes = Array(text.utf8)
        let sent = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { target in
                unsafe sendto(descriptor.raw, bytes, bytes.count, flags, target, length)
            }
        }
        return sent == bytes.count
    }

    /// What the service manager gave this process.
    public static var environment: String? {
        unsafe getenv("NOTIFY_SOCKET").map { unsafe String(cString: $0) }
    }
}
