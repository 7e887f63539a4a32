// What `holdfast play` plays: a generated stream, or a recording read from a file in pieces.
import Basics
import FeedProtocols
import Glibc
import Linux

/// A recording that is read as it is played.
final class PlayFile {
    private static let piece = 65_536
    let path: String
    private let descriptor: Descriptor
    /// The first piece, which told the format, until it is read.
    private var first: [UInt8]?
    let format: RecordingFormat
    /// A number for the file's beginning, the same for copies under other names.
    let fingerprint: UInt64

    init(_ path: String) throws(PlayFailure) {
        self.path = path
        let raw = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard raw >= 0 else { throw .unreadable(file: path, SystemError.text(errno)) }
        descriptor = Descriptor(owning: raw)
        let start: [UInt8]
        do throws(PlayError) {
            start = try PlayFile.read(raw)
        } catch {
            throw PlayFailure(error, file: path)
        }
        guard let format = RecordingFormat(recognising: start[...]) else {
            throw .badData(file: path, PlayFile.strangeness(start))
        }
        self.format = format
        fingerprint = fnv1a(start)
        first = start
    }

    private static func strangeness(_ start: [UInt8]) -> String {
        if start.isEmpty { return "the file is empty" }
        if start.starts(with: [0x1F, 0x8B]) { return "compressed with gzip: unpack it with gunzip first" }
        return
            "not a recording: neither pcap, nor pcapng, nor a BinaryFILE that starts with an ITCH 5.0 message"
    }

    /// The next piece; empty at the end.
    func next() throws(PlayError) -> [UInt8] {
        guard let first else { return try PlayFile.read(descriptor.raw) }
        self.first = nil
        return first
    }

    private static func read(_ raw: Int32) throws(PlayError) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: piece)
        while true {
            let count = unsafe Glibc.read(raw, &buffer, buffer.count)
            if count >= 0 { return Array(buffer[..<count]) }
            if errno != EINTR { throw .unreadable(SystemError.text(errno)) }
        }
    }
}

/// Generated or recorded, with a name for people and one that two servers of one stream share.
enum PlaySource {
    case itch(GeneratedITCHStream)
    case quotes(GeneratedQuoteStream)
    case recording(RecordedStream, PlayFile)

    init(_ options: Play, start: WallTime) throws(PlayFailure) {
        switch options.generate {
        case .itch, .pitch, .deep, .mdp3:
            self = .itch(
                GeneratedITCHStream(
                    SyntheticITCH(
                        symbols: options.symbolCount, seed: options.seed, rate: options.messageRate,
                        start: start, directoryEvery: options.directoryMessages),
                    as: options.dialect))
        case .quotes:
            self = .quotes(
                GeneratedQuoteStream(
                    SyntheticQuotes(
                        symbols: options.symbolCount, seed: options.seed, rate: options.messageRate)))
        case nil: self = try PlaySource.recording(options)
        }
    }

    private static func recording(_ options: Play) throws(PlayFailure) -> PlaySource {
        let file = try PlayFile(options.file ?? "")
        let pace: RecordedStream.Pace =
            options.rate.map { .rate(StreamSchedule(rate: $0)) } ?? .recorded(speed: options.speed ?? 1)
        var stream = RecordedStream(file.format, pace: pace) { () throws(PlayError) in try file.next() }
        let first: Duration?
        do throws(PlayError) {
            first = try stream.nextDue()
        } catch {
            throw PlayFailure(error, file: file.path)
        }
        guard first != nil else {
            throw .badData(
                file: file.path,
                "no MoldUDP64 message in it; \(stream.counts.otherFrames) frames of other kinds")
        }
        return .recording(stream, file)
    }

    var stream: any PlayedStream {
        switch self {
        case .itch(let stream): stream
        case .quotes(let stream): stream
        case .recording(let stream, _): stream
        }
    }

    var file: PlayFile? {
        switch self {
        case .itch, .quotes: nil
        case .recording(_, let file): file
        }
    }
}
