// Whether processes that run also work: they accept connections, and their heartbeat file is fresh. A value: answers
// in, what is wrong out.
public import Basics
public import Configuration
import Wire

/// A way to see that a process works.
public enum LivenessCheck: Hashable, Sendable, CaseIterable {
    case tcp, socket, heartbeat
}

/// What the checks of one watched set say.
public struct ProcessLiveness: Sendable {
    /// So many failures of a check in a row are told: the first may be a moment of overload.
    public static let failuresToTell = 2

    private let options: ProcessWatchOptions
    private var failures: [LivenessCheck: (count: Int, reason: String)] = [:]
    /// When the heartbeat file was last written, on the wall clock, and when that was, on the monotonic one.
    private var written: (at: WallTime, seen: Instant)?
    /// What wrote the file has ended: whoever runs next has his time from the first look at it.
    private var isLeftOver = false
    /// When that was, if the file was not there.
    private var missedSince: Instant?

    public init(_ options: ProcessWatchOptions) { self.options = options }

    /// What is checked.
    public static func checks(_ options: ProcessWatchOptions) -> [LivenessCheck] {
        LivenessCheck.allCases.filter {
            switch $0 {
            case .tcp: options.tcp != nil
            case .socket: options.socket != nil
            case .heartbeat: options.heartbeatFile != nil
            }
        }
    }

    /// A connection was accepted, or not, and why.
    public mutating func connected(_ check: LivenessCheck, _ failure: String?) {
        guard let failure else { return failures[check] = nil }
        let place = check == .tcp ? options.tcp?.text ?? "" : options.socket ?? ""
        failed(check, "does not accept connections at \(place): \(failure)")
    }

    private mutating func failed(_ check: LivenessCheck, _ reason: String) {
        failures[check] = (min((failures[check]?.count ?? 0) + 1, ProcessLiveness.failuresToTell), reason)
    }

    /// When the heartbeat file was last written; `nil`: it cannot be seen, and why.
    ///
    /// Its age is counted from when the time was first seen to be another one, so that a step of the wall clock makes
    /// no file old or young. The file that is there when the watch begins has its age; one that a process left has none
    /// for the next one, which is yet to write it, and may be yet to make it.
    public mutating func heartbeat(_ modified: WallTime?, _ failure: String, wall: WallTime, at now: Instant)
    {
        guard let modified else {
            written = nil
            if isLeftOver {
                let since = missedSince ?? now
                missedSince = since
                guard now - since > options.heartbeatWithin else { return failures[.heartbeat] = nil }
            }
            return failed(.heartbeat, "no heartbeat: \(failure)")
        }
        if written?.at != modified {
            let hasAge = written == nil && !isLeftOver
            let age = hasAge ? max(0, wall.nanoseconds &- modified.nanoseconds) : 0
            written = (modified, now - .nanoseconds(age))
            (isLeftOver, missedSince) = (false, nil)
        }
        guard let seen = written?.seen, now - seen > options.heartbeatWithin else {
            return failures[.heartbeat] = nil
        }
        let reason =
            "no heartbeat for more than \(options.heartbeatWithin.written) in \(options.heartbeatFile ?? "")"
        // It was checked for that long already.
        failures[.heartbeat] = (ProcessLiveness.failuresToTell, reason)
    }

    /// Nothing runs that could answer.
    public mutating func ended() {
        failures = [:]
        written = nil
        (isLeftOver, missedSince) = (true, nil)
    }

    /// What is wrong, if anything is.
    public var trouble: String? {
        LivenessCheck.allCases.lazy.compactMap { failures[$0] }
            .first { $0.count >= ProcessLiveness.failuresToTell }?.reason
    }
}
