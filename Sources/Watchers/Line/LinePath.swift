// One line's edge: a capture on its interface and the membership in its group, opened and closed by the
// network's worker, since both may wait for the kernel. It tries until it succeeds, and says meanwhile what is missing.
import Basics
import Configuration
import FeedProtocols
import Linux
import Reactor

/// A capture and the membership that has the network send it something; letting go of it ends both.
final class OpenLine: Sendable {
    let capture: Capture
    private let membership: UDPSocket?

    /// May wait for the kernel's network configuration lock.
    init(_ filter: CaptureFilter, bufferBytes: Int32) throws(CaptureError) {
        capture = try Capture(filter, bufferBytes: bufferBytes)
        membership = try OpenLine.membership(filter)
    }

    private static func membership(_ filter: CaptureFilter) throws(CaptureError) -> UDPSocket? {
        guard filter.destination.address.isMulticast else { return nil }
        do throws(SystemError) {
            return try UDPSocket(
                joining: filter.destination.address, on: filter.interface, source: filter.source)
        } catch {
            throw .failed("\(error)")
        }
    }
}

/// What a line's edge tells its feed.
enum LineNews {
    case opened
    case closed(String)
}

final class LinePath {
    /// Packets in one go, before others get their turn.
    private static let mostAtOnce = 2048
    private static let firstRetry: Duration = .milliseconds(500)
    private static let longestRetry: Duration = .seconds(5)

    private enum State {
        case closed
        case opening
        case open(CaptureReader, OpenLine, IOSource)
    }

    private let context: WatcherContext
    private let filter: CaptureFilter
    private let bufferBytes: Int32
    private let packetProtocol: PacketProtocol
    private let onNews: (LineNews) -> Void
    private let onPacket: (SequencedHeader?, WallTime) -> Void
    private var state = State.closed
    private var retry: Timer?
    private var retryAfter = LinePath.firstRetry
    private var droppedBefore: UInt64 = 0

    /// - Parameter onPacket: with `nil` for a packet that is not of the protocol.
    init(
        _ context: WatcherContext, _ filter: CaptureFilter, bufferBytes: Int,
        _ packetProtocol: PacketProtocol,
        onNews: @escaping (LineNews) -> Void, onPacket: @escaping (SequencedHeader?, WallTime) -> Void
    ) throws(SystemError) {
        self.context = context
        self.filter = filter
        self.bufferBytes = Int32(clamping: bufferBytes)
        self.packetProtocol = packetProtocol
        self.onNews = onNews
        self.onPacket = onPacket
        retry = try Timer(context.loop, accuracy: .milliseconds(50)) { [unowned self] in open() }
    }

    deinit { letGo() }

    func open() {
        guard case .closed = state else { return }
        let (filter, bufferBytes) = (filter, bufferBytes)
        let accepted = context.network.worker.perform(
            { Result { () throws(CaptureError) in try OpenLine(filter, bufferBytes: bufferBytes) } },
            then: { [weak self] in self?.opened($0) })
        guard accepted else { return fail("the agent is busy; trying again") }
        state = .opening
    }

    private func opened(_ result: Result<OpenLine, CaptureError>) {
        do throws(CaptureError) {
            let line = try result.get()
            let source: IOSource
            do throws(SystemError) {
                source = try IOSource(context.loop, descriptor: line.capture.descriptor) {
                    [unowned self] in drain()
                }
            } catch {
                throw .failed("\(error)")
            }
            // What has come in is judged before time is.
            source.setPriority(-1)
            state = .open(CaptureReader(line.capture), line, source)
            retryAfter = LinePath.firstRetry
            onNews(.opened)
        } catch {
            state = .closed
            fail(LinePath.advice(error, filter.interface))
        }
    }

    private static func advice(_ error: CaptureError, _ interface: String) -> String {
        switch error {
        case .notAllowed:
            "not allowed to capture on \(interface): the agent needs CAP_NET_RAW and the unit's drop-in line.conf"
        case .failed(let words): words
        }
    }

    private func fail(_ reason: String) {
        letGo()
        onNews(.closed(reason))
        retry?.arm(at: context.loop.now + retryAfter)
        retryAfter = min(retryAfter * 2, LinePath.longestRetry)
    }

    /// Closing waits for the kernel: the worker does it.
    private func letGo() {
        guard case .open(let reader, let line, _) = state else { return }
        droppedBefore = dropped
        state = .closed
        context.network.worker.perform(
            { [capture = reader.capture] in LinePath.hold(capture, line) }, then: { _ in })
    }

    private static func hold(_ capture: Capture, _ line: OpenLine) -> Bool { true }

    /// Takes what the kernel has captured.
    func drain() {
        guard case .open(let reader, _, _) = state else { return }
        let link = LinkType(rawValue: reader.capture.linkType)
        do throws(CaptureError) {
            try reader.read(atMost: LinePath.mostAtOnce) { bytes, packet in take(bytes, packet, link) }
        } catch {
            fail("capture on \(filter.interface): \(error)")
        }
    }

    private func take(_ bytes: ArraySlice<UInt8>, _ packet: CapturedPacket, _ link: LinkType) {
        let frame = CapturedFrame(time: packet.time, link: link, bytes: bytes, originalLength: packet.length)
        guard let datagram = (try? UDPDatagram(frame, cut: true)) ?? nil else {
            return onPacket(nil, packet.time)
        }
        guard datagram.destination == .v4(filter.destination.address),
            datagram.destinationPort == filter.destination.port
        else { return }
        onPacket(try? packetProtocol.header(of: datagram.payload, length: datagram.length), packet.time)
    }

    /// What captures of this line have dropped so far.
    var dropped: UInt64 {
        guard case .open(let reader, _, _) = state else { return droppedBefore }
        return droppedBefore &+ (reader.capture.dropped ?? 0)
    }
}
