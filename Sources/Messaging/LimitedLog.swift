// The log of what strangers can cause: within limits for each kind of entry and each key, and with a sum of what
// was held back. What must never be hidden passes straight through.
public import Basics
public import Linux
public import Logging
public import Reactor

/// Writes journal entries within the limits of `EntryLimit`. A daemon has one.
public final class LimitedLog {
    private let loop: EventLoop
    private let logger: Logger
    private var limit: EntryLimit<JournalEvent>
    private var timer: Timer?

    public init(
        _ loop: EventLoop, _ logger: Logger, options: EntryLimit<JournalEvent>.Options = .init()
    ) throws(SystemError) {
        self.loop = loop
        self.logger = logger
        limit = EntryLimit(options: options)
        timer = try Timer(loop, accuracy: .milliseconds(100)) { [unowned self] in tick() }
    }

    /// Writes an entry, or counts it.
    ///
    /// - Parameters:
    ///   - key: whose entries are counted together: a client's address, a path's subject.
    ///   - other: writes the entry in place of this log's own logger, for its metadata.
    public func event(
        _ event: JournalEvent, key: String, _ message: @autoclosure () -> String,
        _ fields: @autoclosure () -> Logger.Metadata = [:], by other: Logger? = nil
    ) {
        if event.mayBeHeldBack {
            tick()
            guard limit.admit(event, key: key, at: loop.now) else { return }
            timer?.arm(at: limit.deadline)
        }
        (other ?? logger).event(event, message(), fields())
    }

    private func tick() {
        for heldBack in limit.tick(at: loop.now) { tell(heldBack) }
        timer?.arm(at: limit.deadline)
    }

    private func tell(_ heldBack: EntryLimit<JournalEvent>.HeldBack) {
        let worst = heldBack.key.isEmpty ? "" : ", \(heldBack.ofKey) of them of \(heldBack.key)"
        logger.event(
            .droppedLog,
            "\(heldBack.count) more entries of the kind \(heldBack.kind.name) were held back\(worst)",
            ["held_back": "\(heldBack.count)", "kind": "\(heldBack.kind.rawValue)", "key": "\(heldBack.key)"])
    }
}

extension JournalEvent {
    /// The event's name in the source: `clientRefused`.
    var name: String { String(describing: self) }
}
