// What `holdfast play` has played of late, for those who ask again or log in behind the head.
import Basics

/// The newest messages of a stream, by number, within a bound.
final class PlayHistory {
    /// About 20 MB of ITCH.
    static let mostMessages = 262_144

    private var messages = Ring<[UInt8]>(capacity: PlayHistory.mostMessages)
    /// The number of the message that comes next.
    private(set) var next: UInt64 = 1

    /// The number of the oldest message that is kept; `next` where there is none.
    var first: UInt64 { next - UInt64(messages.count) }

    /// Numbers that were jumped over: what is older than they is forgotten, so that there is no hole.
    func jump(to number: UInt64) {
        guard number != next else { return }
        messages.removeAll()
        next = number
    }

    func append(_ message: [UInt8], number: UInt64) {
        jump(to: number)
        messages.append(message)
        next += 1
    }

    /// A message by its number; `nil`: too old, or not played yet.
    func message(_ number: UInt64) -> [UInt8]? {
        guard number >= first, number < next else { return nil }
        return messages[Int(number - first)]
    }
}
