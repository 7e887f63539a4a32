// The bodies of control frames: a channel's heartbeat, the gaps that are told, and its state.
public import Basics

/// Why sequences will not come.
public enum GapReason: UInt8, Hashable, Sendable, CaseIterable {
    /// Lost on every path, and not to be had from the venue in time.
    case notRecovered = 1
    /// Lost while the feed moved to another path.
    case failover = 2
    /// Left behind when the venue began another session.
    case sessionChange = 3
    /// The feed's own source said so.
    case upstream = 4
}

/// What a frame on `control/<feed>/<channel>/` says.
public enum ControlBody: Hashable, Sendable {
    /// `published`: messages published on the channel; `gaps`: sequences told as missing, both since the
    /// gateway started. `interval`: when the next heartbeat comes, at a resolution of 1 ms. `first`: the
    /// sequence with which this run's knowledge of the epoch begins; 0: nothing was heard yet, or topics are
    /// numbered each by itself. `isNamed`: the epoch is the venue's name of its session, within which no number begins
    /// anew.
    case heartbeat(published: UInt64, gaps: UInt64, interval: Duration, first: UInt64, isNamed: Bool)
    /// These sequences will not come; `nil`: of the whole channel, otherwise of one instrument's topic.
    case gap(SequenceRange, GapReason, instrument: String?)
    /// The header's state holds from now; `path`: the active one, if there is one.
    case state(path: String?, reason: String)

    public var kind: FrameKind {
        switch self {
        case .heartbeat: .heartbeat
        case .gap: .gap
        case .state: .state
        }
    }

    /// The body as it stands behind the header. Texts are cut to 255 bytes.
    public var bytes: [UInt8] {
        var writer = ByteWriter(capacity: 32)
        switch self {
        case .heartbeat(let published, let gaps, let interval, let first, let isNamed):
            writer.littleEndian(published)
            writer.littleEndian(gaps)
            writer.littleEndian(UInt32(clamping: interval.nanoseconds / 1_000_000))
            writer.littleEndian(first)
            writer.littleEndian(UInt8(isNamed ? 1 : 0))
        case .gap(let range, let reason, let instrument):
            writer.littleEndian(range.first)
            writer.littleEndian(range.last)
            writer.littleEndian(reason.rawValue)
            writer.shortText(instrument ?? "")
        case .state(let path, let reason):
            writer.shortText(path ?? "")
            writer.shortText(reason)
        }
        return writer.bytes
    }
}

extension ControlBody {
    /// Reads the body of a control frame of this kind; offsets in errors count from the body's first byte. What
    /// follows the fields that are known here is ignored: later versions may use it.
    public init(kind: FrameKind, parsing bytes: ArraySlice<UInt8>) throws(FrameError) {
        var reader = ByteReader(bytes)
        switch kind {
        case .heartbeat: self = try ControlBody.heartbeat(&reader)
        case .gap: self = try ControlBody.gap(&reader)
        case .state: self = .state(path: try reader.shortText().nonEmpty, reason: try reader.shortText())
        case .data, .idle, .sync, .batch: throw FrameError(.kind(kind.rawValue), at: 0)
        }
    }

    private static func heartbeat(_ reader: inout ByteReader) throws(FrameError) -> ControlBody {
        do throws(EndOfBytes) {
            return .heartbeat(
                published: try reader.littleEndian(UInt64.self), gaps: try reader.littleEndian(UInt64.self),
                interval: .milliseconds(try reader.littleEndian(UInt32.self)),
                // Gateways before either of these fields ended here.
                first: reader.isAtEnd ? 0 : try reader.littleEndian(UInt64.self),
                isNamed: reader.isAtEnd ? false : try reader.littleEndian(UInt8.self) == 1)
        } catch {
            throw FrameError(error)
        }
    }

    private static func gap(_ reader: inout ByteReader) throws(FrameError) -> ControlBody {
        let first: UInt64
        let last: UInt64
        let code: UInt8
        do throws(EndOfBytes) {
            first = try reader.littleEndian(UInt64.self)
            last = try reader.littleEndian(UInt64.self)
            code = try reader.littleEndian(UInt8.self)
        } catch {
            throw FrameError(error)
        }
        guard first <= last else { throw FrameError(.descendingGap, at: 8) }
        guard let reason = GapReason(rawValue: code) else { throw FrameError(.gapReason(code), at: 16) }
        return .gap(SequenceRange(first, last), reason, instrument: try reader.shortText().nonEmpty)
    }
}

extension ByteWriter {
    /// A byte with the length, and that many bytes of UTF-8.
    fileprivate mutating func shortText(_ text: String) {
        let cut = text.cut(toBytes: 255)
        littleEndian(UInt8(truncatingIfNeeded: cut.utf8.count))
        append(cut.utf8)
    }
}

extension ByteReader {
    fileprivate mutating func shortText() throws(FrameError) -> String {
        let start = offset
        let bytes: ArraySlice<UInt8>
        do throws(EndOfBytes) {
            bytes = try take(Int(try littleEndian(UInt8.self)))
        } catch {
            throw FrameError(error)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw FrameError(.notUTF8, at: start + 1)
        }
        return text
    }
}

extension String {
    fileprivate var nonEmpty: String? { isEmpty ? nil : self }
}
