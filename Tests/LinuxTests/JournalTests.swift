// The way to the journal, with a socket of the test's own in journald's place.
import Glibc
import Logging
import Testing

@testable import Linux

@Suite struct JournalTests {
    /// What journald would be: a datagram socket that reads when told to.
    private final class Journal {
        let path: String
        private var descriptor: Int32 = -1

        init() throws {
            var template = Array("/tmp/holdfast-journal-XXXXXX".utf8CString)
            let folder = try #require(mkdtemp(&template).map { String(cString: $0) })
            path = folder + "/socket"
        }

        deinit {
            close()
            rmdir(String(path.dropLast("/socket".count)))
        }

        func open() {
            descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
            let bound = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
            #expect(bound == 0)
        }

        func close() {
            if descriptor >= 0 { Glibc.close(descriptor) }
            descriptor = -1
            unlink(path)
        }

        /// The entries that wait, as fields.
        func read() -> [[String: String]] {
            var entries: [[String: String]] = []
            var buffer = [UInt8](repeating: 0, count: 1 << 18)
            while true {
                let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
                guard count > 0 else { return entries }
                entries.append(fields(buffer[..<count]))
            }
        }

        private func fields(_ bytes: ArraySlice<UInt8>) -> [String: String] {
            var rest = bytes
            var fields: [String: String] = [:]
            while let end = rest.firstIndex(where: { $0 == UInt8(ascii: "=") || $0 == UInt8(ascii: "\n") }) {
                let name = String(decoding: rest[..<end], as: UTF8.self)
                let isText = rest[end] == UInt8(ascii: "=")
                rest = rest[(end + 1)...]
                var length = rest.firstIndex(of: UInt8(ascii: "\n")).map { $0 - rest.startIndex } ?? 0
                if !isText {
                    length = rest.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
                    rest = rest.dropFirst(8)
                }
                fields[name] = String(decoding: rest.prefix(length), as: UTF8.self)
                rest = rest.dropFirst(length + 1)
            }
            return fields
        }
    }

    private let journal: Journal
    private let handler: JournalHandler
    private var logger: Logger

    init() throws {
        journal = try Journal()
        journal.open()
        handler = JournalHandler(identifier: "holdfast-test", journal: try JournalSocket(path: journal.path))
        let handler = handler
        logger = Logger(label: "test") { _ in handler }
        logger[metadataKey: "host"] = "fra-1"
    }

    @Test func `an entry has its text, its kind, its priority and its fields`() {
        logger.event(.clientRefused, "no\nkey", ["client_address": "10.0.0.66", "bad-key": "ü"])
        #expect(
            journal.read() == [
                [
                    "MESSAGE": "no\nkey", "PRIORITY": "4", "SYSLOG_IDENTIFIER": "holdfast-test",
                    "MESSAGE_ID": JournalEvent.clientRefused.rawValue, "HOLDFAST_HOST": "fra-1",
                    "HOLDFAST_CLIENT_ADDRESS": "10.0.0.66", "HOLDFAST_BAD_KEY": "ü",
                ]
            ])
    }

    @Test func `long values are cut at a character`() {
        let long = String(repeating: "ü", count: 100_000)
        logger.event(.stateChanged, "x" + long, ["reason": "\(long)"])
        let entry = journal.read().first ?? [:]
        #expect(entry["MESSAGE"]?.utf8.count == JournalEntry.longestMessage - 1)
        #expect(entry["HOLDFAST_REASON"]?.utf8.count == JournalEntry.longestValue)
        #expect(entry.values.allSatisfy { !$0.contains("\u{FFFD}") })
    }

    @Test func `a journal that is not there costs entries, which are told when it is back`() {
        journal.close()
        for number in 0..<3 { logger.event(.stateChanged, "\(number)") }
        journal.open()
        logger.event(.stateChanged, "heard")
        let entries = journal.read()
        #expect(entries.map { $0["MESSAGE"]?.prefix(5) } == ["heard", "3 ent"])
        #expect(entries.last?["MESSAGE_ID"] == JournalEvent.journalLost.rawValue)
        #expect(entries.last?["HOLDFAST_LOST"] == "3")
    }

    @Test func `what was lost is told without another entry, once`() {
        journal.close()
        logger.event(.stateChanged, "lost")
        handler.tellLost()
        journal.open()
        handler.tellLost()
        handler.tellLost()
        #expect(journal.read().map { $0["HOLDFAST_LOST"] } == ["1"])
    }

    /// It would wait for ever if a journal that does not read could hold the daemon.
    @Test func `a journal that does not read holds nobody up, and none of its entries is lost silently`() {
        let sent = 20_000
        for number in 0..<sent { logger.event(.stateChanged, "\(number)") }
        var read = journal.read()
        #expect(read.count < sent)
        logger.event(.stateChanged, "\(sent)")
        read += journal.read()
        let lost = read.compactMap { $0["HOLDFAST_LOST"].flatMap { Int($0) } }
        #expect(lost.count == 1)
        #expect(read.count - 1 + (lost.first ?? 0) == sent + 1)
    }
}
