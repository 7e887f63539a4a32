// Files of /proc that tell by POLLPRI that they have changed: mountinfo of the mounts (proc_pid_mountinfo(5)), mdstat of
// the arrays.
import Linux
import Reactor

/// A file of /proc that tells when it has changed.
final class ChangeSign {
    private let loop: EventLoop
    private let path: String
    private let reopens: Bool
    private let onChange: () -> Void
    private var file: WatchedFile?
    private var source: IOSource?

    /// `nil`: it cannot be opened or waited for; who reads it now and then finds changes later.
    init?(_ loop: EventLoop, path: String, reopens: Bool, onChange: @escaping () -> Void) {
        self.loop = loop
        self.path = path
        self.reopens = reopens
        self.onChange = onChange
        guard open() else { return nil }
    }

    private func open() -> Bool {
        source = nil
        file = nil
        do throws(SystemError) {
            let file = try WatchedFile(path: path)
            source = try IOSource(loop, descriptor: file.raw, interest: .change) { [unowned self] in changed()
            }
            self.file = file
            return true
        } catch {
            return false
        }
    }

    private func changed() {
        if reopens { _ = open() }
        onChange()
    }
}
