// Why `holdfast play` cannot begin or go on, with the exit status of sysexits(3), and its voice on standard
// error.
import FeedProtocols
import Glibc
import Linux
import Messaging

enum PlayFailure: Error, CustomStringConvertible {
    /// The recording cannot be opened or read.
    case unreadable(file: String, String)
    /// It is not what it should be.
    case badData(file: String, String)
    /// A socket, an interface or an address cannot be used.
    case unavailable(String)

    init(_ error: PlayError, file: String) {
        switch error {
        case .malformed(let input): self = .badData(file: file, input.description)
        case .unreadable(let words): self = .unreadable(file: file, words)
        }
    }

    init(_ error: SystemError, for what: String) { self = .unavailable("\(what): \(error)") }

    init(_ error: MessagingError, for what: String) { self = .unavailable("\(what): \(error)") }

    var description: String {
        switch self {
        case .unreadable(let file, let words), .badData(let file, let words): "\(file): \(words)"
        case .unavailable(let words): words
        }
    }

    var exitCode: Int32 {
        switch self {
        case .badData: EX_DATAERR
        case .unreadable: EX_NOINPUT
        case .unavailable: EX_UNAVAILABLE
        }
    }
}

extension Play {
    /// Says one line on standard error; one that cannot be written is lost.
    static func say(_ text: String) {
        let bytes = Array("holdfast play: \(text)\n".utf8)
        _ = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}

/// Errors of one path by kind: each counted, each said once a second at most.
struct PlaySendErrors {
    private(set) var counts: [Int32: UInt64] = [:]
    private var saidInSecond: [Int32: Int64] = [:]

    /// - Parameter second: of any clock.
    mutating func add(_ number: Int32, on path: String, second: Int64) {
        let count = counts[number, default: 0] + 1
        counts[number] = count
        guard saidInSecond[number] != second else { return }
        saidInSecond[number] = second
        Play.say("\(path): \(SystemError.text(number)); \(count) not sent so far, going on")
    }
}
