// Where connections are in their handshake: strangers, until they have proved otherwise. All of them together are one
// source of the loop and one timer, so that a thousand who come at once delay nobody who is known.
import Basics
import Linux
import Reactor

/// Waits for what connections in their handshake send, and gives each step of CURVE its turn. Connections are known by
/// their descriptors.
final class Antechamber {
    /// Connections that are read before others get their turn.
    private static let readAtOnce = 8

    private let loop: EventLoop
    private let set: ReadySet
    private let onBytes: (Int32) -> Void
    private let onStep: (Int32) -> Void
    private var queue = HandshakeQueue()
    private var source: IOSource?
    private var turn: Timer?

    /// - Parameters:
    ///   - onBytes: called once with a connection from which something has come; `awaitBytes`, `awaitStep` or `leave`
    ///     follows.
    ///   - onStep: likewise, with one whose step is to be done.
    init(
        _ loop: EventLoop, onBytes: @escaping (Int32) -> Void, onStep: @escaping (Int32) -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.onBytes = onBytes
        self.onStep = onStep
        set = try ReadySet()
        source = try IOSource(loop, descriptor: set.descriptor.raw) { [unowned self] in read() }
        turn = try Timer(loop, accuracy: .microseconds(50), isLast: true) { [unowned self] in step() }
    }

    /// - Throws: the kernel has no room for another.
    func enter(_ descriptor: Int32) throws(SystemError) { try set.add(descriptor) }

    func awaitBytes(_ descriptor: Int32) throws(SystemError) { try set.await(descriptor) }

    func awaitStep(_ descriptor: Int32, from address: IPv4Address?, hasBegun: Bool) {
        queue.add(descriptor, from: address, hasBegun: hasBegun)
        turn?.arm(at: queue.deadline)
    }

    /// It is through, or gone.
    func leave(_ descriptor: Int32) {
        set.remove(descriptor)
        queue.remove(descriptor)
    }

    private func read() {
        // What fails has no reason that holds: it is tried again in the next turn.
        for descriptor in (try? set.ready(atMost: Antechamber.readAtOnce)) ?? [] { onBytes(descriptor) }
    }

    private func step() {
        if let descriptor = queue.next(at: loop.now) { onStep(descriptor) }
        turn?.arm(at: queue.deadline)
    }
}
