// Whether a Unix socket is in use. Who binds a path takes the place of whatever stands there, so that a second
// daemon on the same endpoints would cut off the clients of the first.
import Glibc

/// Whether a process accepts connections at this path.
func isServed(unixSocket path: String) -> Bool {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return false }
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
    let flags = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let descriptor = socket(AF_UNIX, flags, 0)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    let result = unsafe withUnsafePointer(to: &address) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { target in
            unsafe connect(descriptor, target, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
    }
    // EAGAIN: its queue of connections is full, so somebody has one.
    return result == 0 || errno == EAGAIN
}
