// What tests of the bus share: a journal that can be read, and a TCP client that says what it likes.
import Basics
import CLinux
import Glibc
import Linux
import Logging
import Reactor
import Synchronization
import Testing

@testable import Messaging

extension EventLoop {
    /// Steps until `condition` holds; gives up, and fails the test, after many idle steps.
    func run(until condition: () throws -> Bool) throws {
        var isMet = try condition()
        for _ in 0..<800 where !isMet {
            try step(atMost: .milliseconds(25))
            isMet = try condition()
        }
        #expect(isMet)
    }
}

/// The entries that were written.
final class Journal: Sendable {
    struct Entry: Sendable {
        var text: String
        var fields: [String: String]
    }

    private let written = Mutex<[Entry]>([])

    var handler: any LogHandler { Handler(journal: self) }

    func entries(_ event: JournalEvent) -> [Entry] {
        written.withLock { $0.filter { $0.fields["message_id"] == event.rawValue } }
    }

    func texts(_ event: JournalEvent) -> [String] { entries(event).map(\.text) }
    func count(_ event: JournalEvent) -> Int { entries(event).count }

    private struct Handler: LogHandler {
        let journal: Journal
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace

        init(journal: Journal) { self.journal = journal }

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let all = metadata.merging(event.metadata ?? [:]) { $1 }
            let entry = Entry(text: "\(event.message)", fields: all.mapValues { "\($0)" })
            journal.written.withLock { $0.append(entry) }
        }
    }
}

/// A bare TCP connection to `tcp://127.0.0.1:PORT`.
final class TCPClient {
    private let descriptor: Int32

    init(_ endpoint: String) throws {
        guard let port = endpoint.split(separator: ":").last.flatMap({ UInt16($0) }) else {
            throw SystemError("no port in \(endpoint)", number: EINVAL)
        }
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if result != 0 { throw SystemError("connect \(endpoint)", number: errno) }
    }

    deinit { close(descriptor) }

    func send(_ text: String) {
        _ = Array(text.utf8).withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, 0) }
    }
}
