// What `holdfast play` says at its end: one line for people, or one JSON object.
import Basics
import FeedProtocols
import Linux

/// What one path did.
struct PlayPathSummary {
    var path: String
    /// Packets; ZeroMQ: messages.
    var sent: UInt64
    var bytes: UInt64
    /// Lost on purpose.
    var dropped: UInt64
    /// By errno.
    var errors: [Int32: UInt64]
    /// ZeroMQ only.
    var subscriptions: UInt64?
    /// ZeroMQ only: messages from clients that are no subscriptions.
    var malformed: UInt64?

    var json: JSON {
        var members = [
            JSON.Member("path", .string(path)), JSON.Member("sent", count(sent)),
            JSON.Member("bytes", count(bytes)), JSON.Member("dropped", count(dropped)),
            JSON.Member(
                "errors",
                .object(
                    errors.sorted { $0.key < $1.key }.map {
                        JSON.Member(SystemError.text($0.key), count($0.value))
                    })),
        ]
        if let subscriptions { members.append(JSON.Member("subscriptions", count(subscriptions))) }
        if let malformed { members.append(JSON.Member("malformed", count(malformed))) }
        return .object(members)
    }

    var text: String {
        let failed = errors.values.reduce(0, +)
        var parts = ["\(sent) sent"]
        if dropped > 0 { parts.append("\(dropped) dropped") }
        if failed > 0 { parts.append("\(failed) failed") }
        return "\(path): \(parts.joined(separator: ", "))"
    }
}

/// What the whole run did.
struct PlaySummary {
    var session: String
    /// The number of the first message sent; `nil`: none was.
    var first: UInt64?
    /// The number of the message that would have come next.
    var next: UInt64
    var messages: UInt64
    /// Messages jumped over, and in how many jumps.
    var skipped: UInt64
    var jumps: UInt64
    var seconds: Double
    var recording: RecordingCounts?
    var paths: [PlayPathSummary]

    var text: String {
        var parts = ["\(messages) messages in \((seconds * 10).rounded() / 10) s, session \(session)"]
        if skipped > 0 { parts.append("\(skipped) skipped in \(jumps) jumps") }
        if let recording, recording.missing > 0 {
            parts.append("\(recording.missing) missing in the recording")
        }
        return (parts + paths.map(\.text)).joined(separator: "; ")
    }

    var json: JSON {
        var members = [
            JSON.Member("session", .string(session)), JSON.Member("first", first.map(count) ?? .null),
            JSON.Member("next", count(next)), JSON.Member("messages", count(messages)),
            JSON.Member("skipped", count(skipped)), JSON.Member("jumps", count(jumps)),
            JSON.Member("seconds", .number(seconds)),
        ]
        if let recording {
            members.append(
                JSON.Member(
                    "recording",
                    .object([
                        JSON.Member("missing", count(recording.missing)),
                        JSON.Member("duplicates", count(recording.duplicates)),
                        JSON.Member("too_long", count(recording.tooLong)),
                        JSON.Member("other_sessions", count(recording.otherSessions)),
                        JSON.Member("other_frames", count(recording.otherFrames)),
                    ])))
        }
        members.append(JSON.Member("paths", .array(paths.map(\.json))))
        return .object(members)
    }
}

private func count(_ number: UInt64) -> JSON { .integer(Int64(clamping: number)) }
