// Answers MoldUDP64 requests for `holdfast play`: one packet for each, with what is kept of what was asked.
import Basics
import FeedProtocols
import Linux
import Reactor

final class PlayMoldRequests {
    private let endpoint: IPv4Endpoint
    private let socket: UDPSocket
    private let batch = DatagramBatch(slots: 16, bytesPerSlot: 64)
    private let session: MoldSession
    private let history: PlayHistory
    private var builder: MoldUDP64PacketBuilder
    private var source: IOSource?
    private var errors = PlaySendErrors()
    private var answered: UInt64 = 0
    private var bytes: UInt64 = 0
    /// Requests that were none, of another session, or for what is not kept.
    private var refused: UInt64 = 0

    init(_ endpoint: IPv4Endpoint, _ loop: EventLoop, session: MoldSession, history: PlayHistory)
        throws(PlayFailure)
    {
        self.endpoint = endpoint
        self.session = session
        self.history = history
        builder = MoldUDP64PacketBuilder(session: session)
        do throws(SystemError) {
            socket = try UDPSocket(receivingAt: endpoint, bufferBytes: 1 << 20, isShared: false)
            source = try IOSource(loop, descriptor: socket.descriptor.raw) { [unowned self] in
                receive(at: loop.now)
            }
        } catch {
            throw PlayFailure(error, for: "--mold-requests \(endpoint)")
        }
    }

    private func receive(at now: Instant) {
        do throws(SystemError) {
            try batch.receive(from: socket.descriptor) { answer($0, at: now) }
        } catch {
            errors.add(error.number, on: name, second: now.nanoseconds / 1_000_000_000)
        }
    }

    private var name: String { "--mold-requests \(endpoint)" }

    private func answer(_ datagram: Datagram, at now: Instant) {
        guard let request = try? MoldUDP64Request(decoding: datagram.payload), request.session == session,
            history.message(request.firstSequence) != nil
        else {
            refused += 1
            return
        }
        builder.begin(at: request.firstSequence)
        for distance in 0..<UInt64(request.count) {
            guard let message = history.message(request.firstSequence &+ distance), builder.append(message)
            else { break }
        }
        do throws(SystemError) {
            guard try socket.send(builder.bytes, to: datagram.sender) else { return }
            answered += 1
            bytes += UInt64(builder.bytes.count)
        } catch {
            errors.add(error.number, on: name, second: now.nanoseconds / 1_000_000_000)
        }
    }

    var summary: PlayPathSummary {
        PlayPathSummary(
            path: "mold-requests \(endpoint)", sent: answered, bytes: bytes, dropped: 0,
            errors: errors.counts,
            malformed: refused)
    }
}
