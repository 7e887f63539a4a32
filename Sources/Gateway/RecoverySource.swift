// The socket of a feed's re-requests: requests go to the venue's servers, and their answers, ordinary packets of the
// feed, come back to it. What somebody else sends there is counted and not read.
import Arbitration
package import Basics
import Linux
import Reactor
import Wire

/// Sends requests. It is called while the engine is at work, which is to be told nothing meanwhile.
package protocol RecoverySink: AnyObject {
    func ask(_ request: [UInt8], of server: Int) -> AskOutcome
}

/// What became of a request.
package enum AskOutcome: Hashable, Sendable {
    case sent
    /// It could not be sent.
    case failed
    /// It was not sent: the venue's quota is used up until then.
    case notBefore(Instant)
}

/// A feed's way to the servers that it asks again.
protocol FeedRecovery: RecoverySink {
    /// What came; the server's index, or `nil`: what came went to all who listen.
    typealias OnRecovered = (ArraySlice<UInt8>, _ server: Int?, _ receivedAt: WallTime) -> Void
    /// What a server will not send.
    typealias OnRejected = (RequestRejection, _ server: Int) -> Void

    /// Begins, and tells from now on what comes.
    func start(_ onReply: @escaping OnRecovered, _ onRejection: @escaping OnRejected)
    /// An interface changed; `nil`: any of them may have.
    func linkChanged(_ news: LinkNews?)
    /// What was asked of late; `nil`: only each channel's requests are limited.
    var asked: RequestQuota? { get }
    /// Why nobody can be asked now, for a person; `nil`: somebody can, as far as it can be known.
    var trouble: String? { get }
    /// Its figures, for the bus.
    var values: [NamedValue] { get }
}

final class RecoverySource: FeedRecovery {
    static let bufferBytes: Int32 = 2 << 20

    private let servers: [IPv4Endpoint]
    private let loop: EventLoop
    private let batch: DatagramBatch
    private let socket: UDPSocket
    private var source: IOSource?
    private var onReply: OnRecovered?
    /// Packets from senders that are none of the servers, or too long.
    private var strangers: UInt64 = 0
    /// Requests that could not be sent, and receives that failed.
    private var failures: UInt64 = 0

    /// - Parameters:
    ///   - lines: the ports of the gateway's unicast lines, which are opened after this.
    ///   - batch: shared by all sources of the loop.
    init(
        _ loop: EventLoop, servers: [IPv4Endpoint], lines: Set<UInt16>, batch: DatagramBatch
    ) throws(SystemError) {
        self.loop = loop
        self.servers = servers
        self.batch = batch
        socket = try UDPSocket(receivingAtPortOtherThan: lines, bufferBytes: RecoverySource.bufferBytes)
        source = try IOSource(loop, descriptor: socket.descriptor.raw) { [unowned self] in receive() }
    }

    func start(_ onReply: @escaping OnRecovered, _ onRejection: @escaping OnRejected) {
        self.onReply = onReply
    }
    func linkChanged(_ news: LinkNews?) {}
    var asked: RequestQuota? { nil }
    var trouble: String? { nil }

    var values: [NamedValue] {
        [
            NamedValue("recovery_failures", .integer(Int64(clamping: failures))),
            NamedValue("recovery_strangers", .integer(Int64(clamping: strangers))),
        ]
    }

    func ask(_ request: [UInt8], of server: Int) -> AskOutcome {
        do throws(SystemError) {
            if try socket.send(request, to: servers[server]) { return .sent }
        } catch {}
        failures &+= 1
        return .failed
    }

    private func receive() {
        do throws(SystemError) {
            for _ in 0..<MulticastSource.batches {
                let count = try batch.receive(from: socket.descriptor) { take($0) }
                if count < MulticastSource.slots { return }
            }
        } catch {
            failures &+= 1
        }
    }

    private func take(_ datagram: Datagram) {
        guard !datagram.isTruncated, let server = servers.firstIndex(of: datagram.sender) else {
            strangers &+= 1
            return
        }
        onReply?(datagram.payload, server, datagram.receivedAt ?? loop.wall)
    }
}
