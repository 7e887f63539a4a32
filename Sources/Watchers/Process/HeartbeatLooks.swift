// Looks at heartbeat files, any of which may be on a mount that hangs: that holds up no other.
import Basics
import Linux
import Reactor

final class HeartbeatLooks {
    /// When a file was last written. It may never return.
    typealias Look = @Sendable (String) -> Result<WallTime, SystemError>

    private let calls: PatientCalls
    private let look: Look
    private var timer: Timer?

    init(_ loop: EventLoop, _ look: @escaping Look) throws(SystemError) {
        self.look = look
        calls = PatientCalls(loop)
        timer = try Timer(loop, accuracy: .milliseconds(10)) { [unowned self] in
            calls.tick()
            arm()
        }
    }

    /// Looks, and answers on the loop; `nil`: too many others hang.
    func look(at path: String, then: @escaping (Result<WallTime, SystemError>?) -> Void) {
        calls.perform({ [look] in look(path) }) { [weak self] answer in
            then(answer)
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
