// Reads the files that hold process ids, any of which may be on a mount that hangs: that holds up no search, and no other
// file.
import Basics
import Glibc
import Linux
import Reactor

/// What there is in a file that is to hold a process id.
enum PidfileText: Hashable, Sendable {
    case text(String)
    case failed(SystemError)
    /// Its mount does not answer, or those of too many others do not.
    case unanswered

    /// Reads one; it may never return.
    static func read(at path: String) -> PidfileText {
        do throws(SystemError) {
            return .text(try Files.textOfRegular(path, limit: 4096))
        } catch {
            return .failed(error)
        }
    }
}

/// Reads files in rounds, one round at a time.
final class PidfileReader {
    /// May never return.
    typealias Read = @Sendable (String) -> PidfileText

    /// How long a round waits; what hangs is not waited for again until it has come back.
    private static let patience: Duration = .milliseconds(500)

    private struct Round {
        var missing: Set<String>
        var texts: [String: PidfileText] = [:]
        let until: Instant
        let then: ([String: PidfileText]) -> Void
    }

    private let loop: EventLoop
    private let calls: PatientCalls
    private let read: Read
    private var underWay: Set<String> = []
    private var round: Round?
    private var timer: Timer?

    init(_ loop: EventLoop, _ read: @escaping Read) throws(SystemError) {
        self.loop = loop
        self.read = read
        calls = PatientCalls(loop)
        timer = try Timer(loop, accuracy: .milliseconds(10)) { [unowned self] in
            calls.tick()
            if let round, round.until <= self.loop.now { finish() }
            arm()
        }
    }

    /// Reads files, and hands on what was read in time; a round that is not over has no answer any more.
    func read(_ paths: Set<String>, then: @escaping ([String: PidfileText]) -> Void) {
        let free = paths.subtracting(underWay)
        round = Round(missing: free, until: loop.now + PidfileReader.patience, then: then)
        for path in paths.subtracting(free) { round?.texts[path] = .unanswered }
        for path in free.sorted() {
            underWay.insert(path)
            calls.perform({ [read] in read(path) }) { [weak self] in self?.answered(path, $0) }
        }
        if free.isEmpty { finish() }
        arm()
    }

    private func answered(_ path: String, _ text: PidfileText?) {
        underWay.remove(path)
        guard round?.missing.remove(path) != nil else { return arm() }
        round?.texts[path] = text ?? .unanswered
        if round?.missing.isEmpty == true { finish() }
        arm()
    }

    private func finish() {
        guard var round else { return }
        self.round = nil
        for path in round.missing { round.texts[path] = .unanswered }
        round.then(round.texts)
    }

    private func arm() {
        timer?.arm(at: [calls.deadline, round?.until].compactMap(\.self).min())
    }
}
