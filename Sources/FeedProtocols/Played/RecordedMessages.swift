// The messages of a recording, one after the other, whatever file they are in: a BinaryFILE, or a capture of
// MoldUDP64 packets.
import Basics

/// What was left out of a recording, and why.
public struct RecordingCounts: Hashable, Sendable {
    /// Frames of a capture that hold no MoldUDP64 packet.
    public var otherFrames: UInt64 = 0
    /// Packets of another session than the first one's.
    public var otherSessions: UInt64 = 0
    /// Messages that were in the recording already: its B line, or retransmissions.
    public var duplicates: UInt64 = 0
    /// Messages that the recording itself lacks, by its sequence numbers.
    public var missing: UInt64 = 0
    /// Messages too long to be served.
    public var tooLong: UInt64 = 0

    public init() {}
}

/// A message of a recording with its time, nanoseconds on the recording's own clock.
struct RecordedMessage {
    let time: Int64
    let bytes: ArraySlice<UInt8>
}

/// Takes messages out of a recording that comes in pieces.
struct RecordedMessages {
    private enum Reader {
        case binaryFILE(BinaryFILEReader)
        case capture(PcapFileReader)
    }

    private var reader: Reader
    private let read: () throws(PlayError) -> [UInt8]
    private var isExhausted = false
    private var time: Int64 = 0
    private var pending: MoldUDP64Packet.Messages?
    private var session: MoldSession?
    private var expected: UInt64 = 0
    private(set) var counts = RecordingCounts()

    /// - Parameter read: the next piece of the file; empty at its end.
    init(_ format: RecordingFormat, read: @escaping () throws(PlayError) -> [UInt8]) {
        self.read = read
        reader =
            switch format {
            case .binaryFILE: .binaryFILE(BinaryFILEReader())
            case .pcap, .pcapng: .capture(PcapFileReader())
            }
    }

    /// The next message; `nil` at the end.
    mutating func next() throws(PlayError) -> RecordedMessage? {
        while true {
            if let message = try nextAvailable() {
                guard message.bytes.count <= RecordedStream.longestMessage else {
                    counts.tooLong += 1
                    continue
                }
                return message
            }
            guard !isExhausted else { return nil }
            try feed()
        }
    }

    private mutating func feed() throws(PlayError) {
        let piece = try read()
        isExhausted = piece.isEmpty
        do throws(MalformedInput) {
            switch reader {
            case .binaryFILE(var file):
                reader = .capture(PcapFileReader())
                isExhausted ? try file.finish() : file.feed(piece)
                isExhausted = isExhausted || file.isAtEnd
                reader = .binaryFILE(file)
            case .capture(var file):
                reader = .capture(PcapFileReader())
                isExhausted ? try file.finish() : file.feed(piece)
                reader = .capture(file)
            }
        } catch {
            throw .malformed(error)
        }
    }

    private mutating func nextAvailable() throws(PlayError) -> RecordedMessage? {
        switch reader {
        case .binaryFILE(var file):
            let bytes = file.next()
            reader = .binaryFILE(file)
            guard let bytes else { return nil }
            if let message = try? ITCH50Message(bytes) { time = Int64(message.timestamp) }
            return RecordedMessage(time: time, bytes: bytes)
        case .capture: return try nextCaptured()
        }
    }

    private mutating func nextCaptured() throws(PlayError) -> RecordedMessage? {
        while true {
            while let (sequence, bytes) = pending?.next() {
                if accept(sequence) { return RecordedMessage(time: time, bytes: bytes) }
            }
            guard let frame = try nextFrame() else { return nil }
            open(frame)
        }
    }

    private mutating func nextFrame() throws(PlayError) -> CapturedFrame? {
        guard case .capture(var file) = reader else { return nil }
        do throws(MalformedInput) {
            let frame = try file.next()
            reader = .capture(file)
            return frame
        } catch {
            reader = .capture(file)
            throw .malformed(error)
        }
    }

    /// Puts a packet's messages in line, if it is one of the session that is being played.
    private mutating func open(_ frame: CapturedFrame) {
        guard let datagram = try? UDPDatagram(frame),
            let packet = try? MoldUDP64Packet(decoding: datagram.payload), packet.trailingBytes == 0
        else {
            counts.otherFrames += 1
            return
        }
        guard case .data = packet.kind else { return }
        guard session == nil || session == packet.session else {
            counts.otherSessions += 1
            return
        }
        if session == nil { expected = packet.firstSequence }
        session = packet.session
        time = frame.time?.nanoseconds ?? time
        pending = packet.messages
    }

    private mutating func accept(_ sequence: UInt64) -> Bool {
        guard sequence >= expected else {
            counts.duplicates += 1
            return false
        }
        counts.missing += sequence - expected
        expected = sequence &+ 1
        return true
    }
}
