// A recording as a stream: its messages numbered from 1, at a rate or at the pace at which they were recorded,
// under the topics that its stock directory gives them.
public import Basics
import Wire

/// A recording that is played.
public struct RecordedStream: PlayedStream {
    /// How fast a recording is played.
    public enum Pace: Hashable, Sendable {
        case rate(StreamSchedule)
        /// As recorded, so many times as fast: above 0.
        case recorded(speed: Double)
    }

    /// The longest message that is served: what fits into a MoldUDP64 packet of 1,400 bytes.
    public static let longestMessage = MoldUDP64PacketBuilder(session: MoldSession("")).longestMessage

    private struct Topic {
        var name: [UInt8]
        var last: UInt64 = 0
    }

    private var messages: RecordedMessages
    private let pace: Pace
    private var upcoming: RecordedMessage?
    private var firstTime: Int64?
    private var latestDue = Duration.zero
    private var topics = [Topic(name: topicOfNoInstrument)]
    private var topicOfLocate: [UInt16: Int] = [0: 0]
    public private(set) var nextNumber: UInt64 = 1

    /// - Parameter read: the next piece of the file, empty at its end.
    public init(
        _ format: RecordingFormat, pace: Pace, read: @escaping () throws(PlayError) -> [UInt8]
    ) {
        messages = RecordedMessages(format, read: read)
        self.pace = pace
    }

    /// What was left out so far.
    public var counts: RecordingCounts { messages.counts }

    public mutating func nextDue() throws(PlayError) -> Duration? {
        if upcoming == nil { upcoming = try messages.next() }
        guard let upcoming else { return nil }
        switch pace {
        case .rate(let schedule): return schedule.due(nextNumber)
        case .recorded(let speed):
            let first = firstTime ?? upcoming.time
            firstTime = first
            // A clock that steps back while recording holds nothing up.
            latestDue = max(latestDue, .ofSeconds(Double(upcoming.time &- first) / 1e9 / speed))
            return latestDue
        }
    }

    public mutating func take(into writer: inout ByteWriter) throws(PlayError) -> Int? {
        guard try nextDue() != nil, let message = upcoming else { return nil }
        writer.append(message.bytes)
        return pass(message)
    }

    public mutating func skip(dueBefore elapsed: Duration) throws(PlayError) -> UInt64 {
        let before = nextNumber
        while let due = try nextDue(), due < elapsed, let message = upcoming { _ = pass(message) }
        return nextNumber - before
    }

    /// Counts a message under its topic and makes room for the next.
    private mutating func pass(_ message: RecordedMessage) -> Int {
        upcoming = nil
        nextNumber += 1
        let topic = (try? ITCH50Message(message.bytes)).map { topicIndex(of: $0) } ?? 0
        topics[topic].last += 1
        return topic
    }

    /// A locate without a directory message so far goes under its number.
    private mutating func topicIndex(of message: ITCH50Message) -> Int {
        let locate = message.locate
        if let symbol = message.directorySymbol {
            let name = Array("\(PercentEncoding.encode(symbol.description))/".utf8)
            if let known = topicOfLocate[locate], topics[known].name == name { return known }
            return addTopic(name, locate)
        }
        return topicOfLocate[locate] ?? addTopic(Array("locate-\(locate)/".utf8), locate)
    }

    /// At most one for each locate and directory message; a directory that renames locates without end stops
    /// at 2^17 topics, and what is new then goes under no instrument.
    private mutating func addTopic(_ name: [UInt8], _ locate: UInt16) -> Int {
        guard topics.count < 1 << 17 else { return 0 }
        topics.append(Topic(name: name))
        topicOfLocate[locate] = topics.count - 1
        return topics.count - 1
    }

    public var topicCount: Int { topics.count }

    public func topic(_ index: Int) -> [UInt8] { topics[index].name }

    public func lastSequence(ofTopic index: Int) -> UInt64 { topics[index].last }
}
