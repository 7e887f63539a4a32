// What a venue really sent, and when: the checker holds everything that comes out of the gateway against it.
import Basics

/// One message as the venue made it.
struct TrueMessage {
    /// Index into the venue's instruments.
    var instrument: Int
    var sequence: UInt64
    /// The sequence of the instrument's message before it; 0: none.
    var predecessor: UInt64
    var sentAt: Instant
    var payload: [UInt8]

    /// What a liar says in its place.
    var lie: [UInt8] { payload.dropLast() + payload.suffix(1).map { ~$0 } }
}

/// One numbering of one venue: a session, or what begins when its numbers begin again.
final class Generation {
    /// The session that packets name.
    let session: String
    /// The epoch of the session; numbers that begin again within it have a higher one.
    let sessionEpoch: UInt64
    /// Whether the numbers began again within the session.
    let isReset: Bool
    /// Of a channel: the message with sequence n at n - 1.
    private(set) var messages: [TrueMessage] = []
    /// Of each instrument: where its messages stand in `messages`.
    private(set) var byInstrument: [[Int]]
    private let numberedPerTopic: Bool

    init(session: String, epoch: UInt64, isReset: Bool, instruments: Int, numberedPerTopic: Bool) {
        self.session = session
        self.isReset = isReset
        self.numberedPerTopic = numberedPerTopic
        sessionEpoch = epoch
        byInstrument = Array(repeating: [], count: instruments)
    }

    /// The sequence that the channel's, or the instrument's, next message gets.
    func next(of instrument: Int) -> UInt64 {
        UInt64(numberedPerTopic ? byInstrument[instrument].count : messages.count) + 1
    }

    /// The last sequence of an instrument; 0: none.
    func last(of instrument: Int) -> UInt64 {
        byInstrument[instrument].last.map { messages[$0].sequence } ?? 0
    }

    func append(_ instrument: Int, at now: Instant, _ payload: [UInt8]) -> TrueMessage {
        let message = TrueMessage(
            instrument: instrument, sequence: next(of: instrument), predecessor: last(of: instrument),
            sentAt: now, payload: payload)
        byInstrument[instrument].append(messages.count)
        messages.append(message)
        return message
    }

    /// The message with a sequence, of the channel or of an instrument.
    func message(_ sequence: UInt64, of instrument: Int?) -> TrueMessage? {
        guard sequence > 0 else { return nil }
        let index = Int(clamping: sequence - 1)
        guard numberedPerTopic else { return messages.indices.contains(index) ? messages[index] : nil }
        guard let instrument, byInstrument[instrument].indices.contains(index) else { return nil }
        return messages[byInstrument[instrument][index]]
    }
}
