// Looks at heartbeat files, any of which may be on a mount that hangs: that holds up no other.
import Basics
import Linux
import Reactor

final class HeartbeatLooks {
    /// When a file was last written. It may never return.
    typealias Look = @Sendable (String) -> Result<WallTime, SystemError>
    /// What a look showed; `nil`: it was not looked.
    typealias Answer = Result<WallTime, SystemError>?

    /// Who may wait for one look; others are not answered by it.
    static let mostWaiting = 64

    private let calls: PatientCalls
    private let look: Look
    /// Who waits for each look that is under way: a path that hangs takes one thread, however often it is asked for.
    private var waiting: [String: [(Answer) -> Void]] = [:]
    private var timer: Timer?

    init(_ loop: EventLoop, _ look: @escaping Look) throws(SystemError) {
        self.look = look
        calls = PatientCalls(loop)
        timer = try Timer(loop, accuracy: .milliseconds(10)) { [unowned self] in
            calls.tick()
            arm()
        }
    }

    /// Looks, or waits for the look that is under way, and answers on the loop; `nil`: too many others hang or wait.
    func look(at path: String, then: @escaping (Answer) -> Void) {
        if let others = waiting[path] {
            guard others.count < HeartbeatLooks.mostWaiting else { return then(nil) }
            waiting[path]?.append(then)
            return
        }
        waiting[path] = [then]
        calls.perform({ [look] in look(path) }) { [weak self] answer in
            for then in self?.waiting.removeValue(forKey: path) ?? [] { then(answer) }
            self?.arm()
        }
        arm()
    }

    private func arm() { timer?.arm(at: calls.deadline) }

    static let ofFiles: Look = { path in
        do throws(SystemError) {
            return .success(WallTime(nanoseconds: try Files.modified(path)))
        } catch {
            return .failure(error)
        }
    }
}
