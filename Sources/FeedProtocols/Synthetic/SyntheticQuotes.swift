// Generated quotes for the sequenced ZeroMQ feed: the symbols take turns, each with its own sequence, so that
// the k-th message of the stream is a pure function of the seed and k.
import Basics

/// Generates quotes; the payload is a small JSON object with the topic's own count in it.
public struct SyntheticQuotes: Sendable {
    public let symbols: Int
    public let seed: UInt64
    public let schedule: StreamSchedule
    /// The topics, each with its closing `/`, in the order of their turns.
    public let topics: [[UInt8]]

    /// - Precondition: `symbols` is from 1 to 65,535.
    public init(symbols: Int, seed: UInt64, rate: UInt64) {
        precondition((1...SyntheticITCH.mostSymbols).contains(symbols), "a number of symbols")
        self.symbols = symbols
        self.seed = seed
        schedule = StreamSchedule(rate: rate)
        topics = (1...symbols).map { Array("\(SyntheticITCH.symbol(ofLocate: UInt16($0)))/".utf8) }
    }

    /// Whose turn message `number`, from 1, is: the index in `topics`, and that topic's own sequence from 1.
    public func turn(_ number: UInt64) -> (topic: Int, sequence: UInt64) {
        let index = number - min(number, 1)
        return (Int(index % UInt64(symbols)), index / UInt64(symbols) + 1)
    }

    /// The last sequence of a topic once message `number` is out; 0: none yet.
    public func lastSequence(ofTopic topic: Int, after number: UInt64) -> UInt64 {
        let symbols = UInt64(symbols)
        return number / symbols + (UInt64(topic) < number % symbols ? 1 : 0)
    }

    /// The payload of a topic's message `sequence`, such as
    /// `{"symbol":"HF0007","count":12,"bid":27.31,"ask":27.33}`.
    public func payload(topic: Int, sequence: UInt64) -> [UInt8] {
        let random = scrambled(seed, UInt64(topic) << 40 | sequence & 0xFF_FFFF_FFFF)
        let bid = 2000 + Int64(topic % 480) * 100 + Int64(random & 0x7F)
        let ask = bid + 1 + Int64(random >> 8 & 3)
        let symbol = String(decoding: topics[topic].dropLast(), as: UTF8.self)
        return Array(
            "{\"symbol\":\"\(symbol)\",\"count\":\(sequence),\"bid\":\(price(bid)),\"ask\":\(price(ask))}"
                .utf8)
    }

    /// Cents as a decimal number.
    private func price(_ cents: Int64) -> String { "\(cents / 100).\(padded(cents % 100, 2))" }
}
