// chronyd by UDP on the loopback, where its control protocol answers questions of any local user; its Unix socket is
// for root and its own user. One question at a time, each with an end.
import Basics
import Glibc
import Linux
import Reactor

final class ChronyLink {
    private static let patience: Duration = .milliseconds(500)

    private let loop: EventLoop
    private let peer: IPv4Endpoint
    private let onAnswer: (ChronyAnswer) -> Void
    private let onMalformed: (String) -> Void
    private var socket: Holder?
    private var source: IOSource?
    private var timer: Timer?
    private var sequence: UInt32
    private var isAwaited = false

    /// A class of its own, since a noncopyable value cannot be an optional property that is replaced in closures.
    private final class Holder {
        let socket: ConnectedUDPSocket

        init(_ peer: IPv4Endpoint) throws(SystemError) { socket = try ConnectedUDPSocket(to: peer) }
    }

    init(
        _ loop: EventLoop, port: UInt16, onAnswer: @escaping (ChronyAnswer) -> Void,
        onMalformed: @escaping (String) -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.onAnswer = onAnswer
        self.onMalformed = onMalformed
        peer = IPv4Endpoint(IPv4Address(number: 0x7F00_0001), port)
        // So that a reply to an earlier run's question is not taken for one to ours.
        sequence = UInt32.random(in: 0 ... .max)
        timer = try Timer(loop, accuracy: .milliseconds(20)) { [unowned self] in answer(.silent) }
    }

    /// Asks, unless an earlier question is still open: it has its end.
    func ask() {
        guard !isAwaited else { return }
        sequence &+= 1
        isAwaited = true
        timer?.arm(at: loop.now + ChronyLink.patience)
        do throws(SystemError) {
            if socket == nil { try open() }
            try socket?.socket.send(ChronyTracking.request(sequence))
        } catch {
            failed(error)
        }
    }

    private func open() throws(SystemError) {
        let holder = try Holder(peer)
        source = try IOSource(loop, descriptor: holder.socket.descriptor.raw) { [unowned self] in receive() }
        socket = holder
    }

    private func receive() {
        do throws(SystemError) {
            while let bytes = try socket?.socket.receive(limit: 1024) { read(bytes) }
        } catch {
            failed(error)
        }
    }

    private func read(_ bytes: [UInt8]) {
        do throws(ChronyDefect) {
            answer(.tracking(try ChronyTracking(reply: bytes, to: sequence)))
        } catch {
            switch error {
            // Late: the question was given up.
            case .sequence: break
            case .refused(let status): answer(.refused(status))
            case .short, .foreign: onMalformed("\(bytes.count) bytes that are no reply")
            }
        }
    }

    /// A descriptor that failed is not used again.
    private func failed(_ error: SystemError) {
        source = nil
        socket = nil
        answer(error.number == ECONNREFUSED ? .absent : .silent)
    }

    private func answer(_ answer: ChronyAnswer) {
        guard isAwaited else { return }
        isAwaited = false
        timer?.disarm()
        onAnswer(answer)
    }
}
