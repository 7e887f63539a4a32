// Many descriptors as one: of those that something has come from a few are told at a time, each once, and in the order in
// which it came. However many they are, they are one source of the loop and have one turn (epoll(7), EPOLLONESHOT).
import CLinux
import Glibc

/// Descriptors that are waited for together.
public struct ReadySet: ~Copyable {
    /// Readable while one of them is.
    public let descriptor: Descriptor

    public init() throws(SystemError) {
        descriptor = Descriptor(
            owning: try check("epoll_create1") { epoll_create1(Int32(EPOLL_CLOEXEC)) })
    }

    /// Waits for something to come from a descriptor, which stays with its owner.
    public func add(_ raw: Int32) throws(SystemError) { try control(raw, EPOLL_CTL_ADD) }

    /// Waits for one again that was told.
    public func await(_ raw: Int32) throws(SystemError) { try control(raw, EPOLL_CTL_MOD) }

    /// Forgets one; it need not be there.
    public func remove(_ raw: Int32) { try? control(raw, EPOLL_CTL_DEL) }

    private func control(_ raw: Int32, _ operation: Int32) throws(SystemError) {
        let set = descriptor.raw
        let events = EPOLLIN.rawValue | EPOLLONESHOT.rawValue
        var event = unsafe epoll_event(events: events, data: epoll_data(fd: raw))
        try check("epoll_ctl") { unsafe epoll_ctl(set, operation, raw, &event) }
    }

    /// Those from which something has come by now, or that have ended.
    public func ready(atMost count: Int) throws(SystemError) -> [Int32] {
        let set = descriptor.raw
        var events = unsafe [epoll_event](repeating: epoll_event(), count: count)
        let found = try check("epoll_wait") { unsafe epoll_wait(set, &events, Int32(count), 0) }
        return unsafe events.prefix(Int(found)).map { unsafe $0.data.fd }
    }
}
