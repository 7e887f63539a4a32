// The socket of a feed's re-requests: requests go to the venue's servers, and their answers, ordinary packets of the
// feed, come back to it. What somebody else sends there is counted and not read.
import Basics
import Linux
import Reactor

/// Sends requests.
package protocol RecoverySink: AnyObject {
    /// `false`: it could not be sent.
    func ask(_ request: [UInt8], of server: Int) -> Bool
}

final class RecoverySource: RecoverySink {
    static let bufferBytes: Int32 = 2 << 20

    /// What came from whom; the server's index.
    typealias Reply = (ArraySlice<UInt8>, _ server: Int, _ receivedAt: WallTime) -> Void

    private let servers: [IPv4Endpoint]
    private let loop: EventLoop
    private let batch: DatagramBatch
    private let socket: UDPSocket
    private var source: IOSource?
    /// Told of each answer, once set.
    var onReply: Reply?
    /// Packets from senders that are none of the servers, or too long.
    private(set) var strangers: UInt64 = 0
    /// Requests that could not be sent, and receives that failed.
    private(set) var failures: UInt64 = 0

    /// - Parameter batch: shared by all sources of the loop.
    init(
        _ loop: EventLoop, servers: [IPv4Endpoint], batch: DatagramBatch
    ) throws(SystemError) {
        self.loop = loop
        self.servers = servers
        self.batch = batch
        socket = try UDPSocket(receivingAt: IPv4Endpoint(.any, 0), bufferBytes: RecoverySource.bufferBytes)
        source = try IOSource(loop, descriptor: socket.descriptor.raw) { [unowned self] in receive() }
    }

    func ask(_ request: [UInt8], of server: Int) -> Bool {
        do throws(SystemError) {
            if try socket.send(request, to: servers[server]) { return true }
        } catch {}
        failures &+= 1
        return false
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
