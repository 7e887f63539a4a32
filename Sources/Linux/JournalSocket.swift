// The way to journald. libsystemd's own call waits for as long as the journal does not read; a daemon whose
// word is awaited elsewhere cannot. So the wait is short, and what the journal did not take is counted.
import CLinux
import Glibc
import Synchronization

/// Sends entries to the journal. It may be used from any thread.
final class JournalSocket: Sendable {
    /// Where journald listens.
    static let path = "/run/systemd/journal/socket"
    /// How long one entry may wait for a journal that is behind, in microseconds. After one that waited in
    /// vain, none waits until one was taken.
    static let patience: Int32 = 50_000

    private let descriptor: Descriptor
    private let path: String
    private let lost = Atomic<UInt64>(0)
    private let isStuck = Atomic<Bool>(false)

    init(path: String = JournalSocket.path) throws(SystemError) {
        let kind = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let raw = try check("socket AF_UNIX") { socket(AF_UNIX, kind, 0) }
        descriptor = Descriptor(owning: raw)
        self.path = path
        let limit = timeval(tv_sec: 0, tv_usec: Int(JournalSocket.patience))
        try setOption(raw, SOL_SOCKET, SO_SNDTIMEO, limit, "SO_SNDTIMEO")
        // As much as the kernel grants: entries of a burst wait there.
        try? setOption(raw, SOL_SOCKET, SO_SNDBUF, Int32(8 << 20), "SO_SNDBUF")
    }

    /// Entries that were not taken and of which nobody was told.
    var untold: UInt64 { lost.load(ordering: .relaxed) }

    /// Sends an entry.
    ///
    /// - Returns: how many before it were lost, now that one gets through again; `nil`: this one is lost, too.
    func send(_ entry: JournalEntry, countsIfLost: Bool = true) -> UInt64? {
        guard transmit(entry.bytes, mayWait: !isStuck.load(ordering: .relaxed)) else {
            isStuck.store(true, ordering: .relaxed)
            if countsIfLost { putBack(1) }
            return nil
        }
        isStuck.store(false, ordering: .relaxed)
        return takeUntold()
    }

    /// The count of lost entries, which begins anew: somebody is told of them.
    func takeUntold() -> UInt64 { lost.exchange(0, ordering: .relaxed) }

    /// Counts entries as lost again, after nobody could be told of them.
    func putBack(_ count: UInt64) { lost.add(count, ordering: .relaxed) }

    private func transmit(_ bytes: [UInt8], mayWait: Bool) -> Bool {
        guard var address = sockaddr_un(path: path) else { return false }
        let flags = Int32(MSG_NOSIGNAL) | (mayWait ? 0 : Int32(MSG_DONTWAIT))
        while true {
            let sent = unsafe withUnsafePointer(to: &address) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { target in
                    unsafe sendto(
                        descriptor.raw, bytes, bytes.count, flags, target,
                        socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
            if sent >= 0 { return true }
            if errno != EINTR { return false }
        }
    }
}

extension sockaddr_un {
    /// The address of a path; `nil`: it is too long for one.
    init?(path: String) {
        self.init()
        sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: sun_path) else { return nil }
        unsafe withUnsafeMutableBytes(of: &sun_path) { unsafe $0.copyBytes(from: bytes) }
    }
}
