// Whether somebody listens at an address, and which process it is: for programs that may wait.
import CLinux
import Glibc

public enum Reachability {
    /// Connects and hangs up; why that does not work, or `nil`.
    ///
    /// - Parameter limit: how long to wait, in milliseconds.
    public static func failure(at address: ResolvedAddress, limit: Int32) -> String? {
        do throws(SystemError) {
            let socket = try StreamSocket(connecting: address)
            var waiting = pollfd(fd: socket.descriptor.raw, events: Int16(POLLOUT), revents: 0)
            guard try check("poll", { unsafe poll(&waiting, 1, limit) }) > 0 else { return "no answer" }
            try socket.finishConnecting()
            return nil
        } catch {
            return SystemError.text(error.number)
        }
    }

    /// The process that listens at a Unix socket (`SO_PEERCRED`, unix(7)).
    public static func listener(atUnixSocket path: String) -> Int32? {
        guard let address = ResolvedAddress(unix: path), let socket = try? StreamSocket(connecting: address)
        else { return nil }
        // struct ucred: pid, uid, gid.
        var credentials: (Int32, UInt32, UInt32) = (0, 0, 0)
        var size = socklen_t(MemoryLayout.size(ofValue: credentials))
        let result = unsafe getsockopt(
            socket.descriptor.raw, SOL_SOCKET, SO_PEERCRED, &credentials, &size)
        return result == 0 && credentials.0 > 0 ? credentials.0 : nil
    }

    /// The group of a file.
    public static func group(of path: String) -> UInt32? {
        var status = stat()
        return unsafe stat(path, &status) == 0 ? status.st_gid : nil
    }

    /// Whether a path is a socket.
    public static func isSocket(_ path: String) -> Bool {
        var status = stat()
        return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFSOCK
    }
}
