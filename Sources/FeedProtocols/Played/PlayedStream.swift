// What `holdfast play` serves: a stream of numbered messages that are due at times counted from its start,
// each under a topic with a sequence of its own. Generated or read from a recording, it is played alike.
public import Basics

/// A stream that is played from its first message on.
public protocol PlayedStream {
    /// The number of the message that comes next, from 1.
    var nextNumber: UInt64 { get }

    /// When the next message is due, after the start; `nil`: the stream has ended.
    mutating func nextDue() throws(PlayError) -> Duration?

    /// Appends the next message to `writer` and moves on.
    /// - Returns: its topic, an index below `topicCount`; `nil`, and nothing is appended, at the end.
    mutating func take(into writer: inout ByteWriter) throws(PlayError) -> Int?

    /// Moves on past messages that were due before `elapsed` without giving them out; they keep their
    /// numbers.
    /// - Returns: how many they were.
    mutating func skip(dueBefore elapsed: Duration) throws(PlayError) -> UInt64

    var topicCount: Int { get }

    /// A topic's name with its closing `/`.
    func topic(_ index: Int) -> [UInt8]

    /// The sequence of the message of a topic that was last taken or skipped; 0: none yet.
    func lastSequence(ofTopic index: Int) -> UInt64
}

/// Why a stream cannot go on.
public enum PlayError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The recording is not what its format asks for.
    case malformed(MalformedInput)
    /// The recording could not be read: the system's words.
    case unreadable(String)

    public var description: String {
        switch self {
        case .malformed(let input): input.description
        case .unreadable(let words): words
        }
    }
}

/// The topic of messages that concern no instrument.
let topicOfNoInstrument = Array("*/".utf8)

/// A generated stream of a day's orders. Topics are locates; topic 0 is for messages that concern none.
public struct GeneratedITCHStream: PlayedStream {
    private let feed: SyntheticITCH
    private let dialect: SyntheticDialect
    public private(set) var nextNumber: UInt64 = 1

    public init(_ feed: SyntheticITCH, as dialect: SyntheticDialect = .itch) {
        self.feed = feed
        self.dialect = dialect
    }

    public func nextDue() -> Duration? { feed.schedule.due(nextNumber) }

    public mutating func take(into writer: inout ByteWriter) -> Int? {
        let locate = feed.write(nextNumber, as: dialect, into: &writer)
        nextNumber += 1
        return Int(locate)
    }

    public mutating func skip(dueBefore elapsed: Duration) -> UInt64 {
        nextNumber.skip(to: feed.schedule.firstDue(from: elapsed))
    }

    public var topicCount: Int { feed.symbols + 1 }

    public func topic(_ index: Int) -> [UInt8] {
        index == 0
            ? topicOfNoInstrument : Array("\(SyntheticITCH.symbol(ofLocate: UInt16(index)))/".utf8)
    }

    public func lastSequence(ofTopic index: Int) -> UInt64 {
        feed.messages(ofLocate: UInt16(index), through: nextNumber - 1)
    }
}

/// A generated stream of quotes.
public struct GeneratedQuoteStream: PlayedStream {
    private let feed: SyntheticQuotes
    public private(set) var nextNumber: UInt64 = 1

    public init(_ feed: SyntheticQuotes) { self.feed = feed }

    public func nextDue() -> Duration? { feed.schedule.due(nextNumber) }

    public mutating func take(into writer: inout ByteWriter) -> Int? {
        let (topic, sequence) = feed.turn(nextNumber)
        writer.append(feed.payload(topic: topic, sequence: sequence))
        nextNumber += 1
        return topic
    }

    public mutating func skip(dueBefore elapsed: Duration) -> UInt64 {
        nextNumber.skip(to: feed.schedule.firstDue(from: elapsed))
    }

    public var topicCount: Int { feed.symbols }

    public func topic(_ index: Int) -> [UInt8] { feed.topics[index] }

    public func lastSequence(ofTopic index: Int) -> UInt64 {
        feed.lastSequence(ofTopic: index, after: nextNumber - 1)
    }
}

extension UInt64 {
    /// Moves up to `target`, never down; returns by how much.
    fileprivate mutating func skip(to target: UInt64) -> UInt64 {
        guard target > self else { return 0 }
        defer { self = target }
        return target - self
    }
}

extension StreamSchedule {
    /// The number of the first message that is due at `elapsed` or later.
    func firstDue(from elapsed: Duration) -> UInt64 {
        last(dueWithin: elapsed - .nanoseconds(1)) + 1
    }
}
