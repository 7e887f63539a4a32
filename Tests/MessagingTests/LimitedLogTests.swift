// The limited log on the loop: what it writes, and what it says of what it held back.
import Basics
import Linux
import Logging
import Messaging
import Reactor
import Synchronization
import Testing

/// Keeps what is logged.
private final class Written: Sendable {
    let entries = Mutex<[[String: String]]>([])
}

private struct KeepingHandler: LogHandler {
    var logLevel: Logger.Level = .trace
    var metadata: Logger.Metadata = [:]
    let written: Written

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let fields = metadata.merging(event.metadata ?? [:]) { _, new in new }
        written.entries.withLock {
            $0.append(fields.mapValues { "\($0)" }.merging(["message": "\(event.message)"]) { $1 })
        }
    }
}

@Suite struct LimitedLogTests {
    private let loop: EventLoop
    private let log: LimitedLog
    private let written = Written()

    init() throws {
        loop = try EventLoop()
        let written = written
        let logger = Logger(label: "test") { _ in KeepingHandler(written: written) }
        var options = EntryLimit<JournalEvent>.Options()
        options.window = .milliseconds(50)
        options.perKey = 2
        log = try LimitedLog(loop, logger, options: options)
    }

    private var entries: [[String: String]] { written.entries.withLock { $0 } }

    @Test func `what was held back is told when the window ends, though nothing more comes`() throws {
        for number in 0..<10 { log.event(.clientRefused, key: "10.0.0.66", "refused \(number)") }
        #expect(entries.map { $0["message"] } == ["refused 0", "refused 1"])
        for _ in 0..<400 where entries.count < 3 { try loop.step(atMost: .milliseconds(25)) }
        let last = try #require(entries.last)
        #expect(last["message_id"] == JournalEvent.droppedLog.rawValue)
        #expect(last["held_back"] == "8")
        #expect(last["kind"] == JournalEvent.clientRefused.rawValue)
        #expect(last["message"]?.contains("clientRefused") == true)
        #expect(last["message"]?.contains("10.0.0.66") == true)
    }

    @Test(arguments: [JournalEvent.stateChanged, .noLongerWatched, .switched, .agentLost, .clientRemoved])
    func `a change of state is never held back`(event: JournalEvent) {
        for number in 0..<100 { log.event(event, key: "nic/eth0", "\(number)") }
        #expect(entries.count == 100)
    }
}
