// A ZeroMQ socket on the loop. Its descriptor is edge-triggered and says only "look again", so the source
// looks at the socket before each wait, drains in batches, and comes back by a deferred source so that
// nobody starves.
public import Reactor
public import Linux

/// Receives what comes to a socket on the loop.
public final class SocketSource {
    /// Messages or frames taken before others get their turn.
    public static let batch = 256

    public let socket: Socket
    /// Takes one message or frame and hands it on. `false`: there is none.
    private let takeNext: () throws(MessagingError) -> Bool
    private let onDrained: () -> Void
    private let onError: (MessagingError) -> Void
    private var arrivals: IOSource?
    private var again: DeferredSource?

    /// Hands on whole messages.
    ///
    /// - Parameter onError: a receive that failed; the socket stays on the loop.
    public convenience init(
        _ loop: EventLoop, _ socket: Socket, onError: @escaping (MessagingError) -> Void,
        onMessage: @escaping (Socket.Message) -> Void
    ) throws(SystemError) {
        try self.init(loop, socket, onError: onError, onDrained: {}) { () throws(MessagingError) in
            guard let message = try socket.receive() else { return false }
            onMessage(message)
            return true
        }
    }

    /// Hands on frame after frame, whatever message they are of, all through one buffer.
    ///
    /// - Parameter onDrained: called when all that was there is handed on, or a batch of it.
    public convenience init(
        _ loop: EventLoop, framesOf socket: Socket, onError: @escaping (MessagingError) -> Void,
        onDrained: @escaping () -> Void, onFrame: @escaping (ArraySlice<UInt8>) -> Void
    ) throws(SystemError) {
        var frame: [UInt8] = []
        try self.init(loop, socket, onError: onError, onDrained: onDrained) { () throws(MessagingError) in
            guard try socket.receive(into: &frame) else { return false }
            onFrame(frame[...])
            return true
        }
    }

    private init(
        _ loop: EventLoop, _ socket: Socket, onError: @escaping (MessagingError) -> Void,
        onDrained: @escaping () -> Void, takeNext: @escaping () throws(MessagingError) -> Bool
    ) throws(SystemError) {
        self.socket = socket
        self.takeNext = takeNext
        self.onDrained = onDrained
        self.onError = onError
        let again = try DeferredSource(loop) { [unowned self] in drain() }
        self.again = again
        arrivals = try IOSource(loop, descriptor: socket.descriptor, edgeTriggered: true) {
            [unowned self] in drain()
        }
        // A look is a system call: it is made only after a call that may have taken the news of an edge.
        try arrivals?.setPrepare { [unowned self] in
            guard self.socket.mayHaveNews else { return }
            self.socket.mayHaveNews = false
            if self.socket.isReadable { again.arm() }
        }
    }

    private func drain() {
        defer { onDrained() }
        for _ in 0..<SocketSource.batch {
            do throws(MessagingError) {
                guard try takeNext() else { return }
            } catch {
                return onError(error)
            }
        }
    }
}
