// A ZeroMQ socket on the loop. Its descriptor is edge-triggered and says only "look again", so the source
// looks at the socket before each wait, drains in batches, and comes back by a deferred source so that
// nobody starves.
public import Reactor
public import Linux

/// Receives what comes to a socket on the loop.
public final class SocketSource {
    /// Frames taken before others get their turn.
    public static let batch = 256
    /// Messages, each of which is more work than a frame of a feed.
    static let messages = 64

    private enum Receiver {
        case message((Socket.Message) -> Void)
        case frames((inout ArrivedFrames) -> Void)
    }

    public let socket: Socket
    private let receiver: Receiver
    private let onError: (MessagingError) -> Void
    private var frames: ArrivedFrames
    private var arrivals: IOSource?
    private var again: DeferredSource?

    /// Hands on whole messages.
    ///
    /// - Parameter onError: a receive that failed; the socket stays on the loop.
    public convenience init(
        _ loop: EventLoop, _ socket: Socket, onError: @escaping (MessagingError) -> Void,
        onMessage: @escaping (Socket.Message) -> Void
    ) throws(SystemError) {
        try self.init(loop, socket, onError, .message(onMessage))
    }

    /// Has the frames taken that are there, whatever messages they are of; what is left is handed on again.
    public convenience init(
        _ loop: EventLoop, _ socket: Socket, onError: @escaping (MessagingError) -> Void,
        onFrames: @escaping (inout ArrivedFrames) -> Void
    ) throws(SystemError) {
        try self.init(loop, socket, onError, .frames(onFrames))
    }

    private init(
        _ loop: EventLoop, _ socket: Socket, _ onError: @escaping (MessagingError) -> Void,
        _ receiver: Receiver
    ) throws(SystemError) {
        self.socket = socket
        self.receiver = receiver
        self.onError = onError
        frames = ArrivedFrames(of: socket)
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
        // Unless all is taken.
        socket.mayHaveNews = true
        switch receiver {
        case .message(let onMessage): drain(onMessage)
        case .frames(let onFrames):
            frames.begin()
            onFrames(&frames)
            if let failure = frames.failure { onError(failure) }
        }
    }

    private func drain(_ onMessage: (Socket.Message) -> Void) {
        for _ in 0..<SocketSource.messages {
            do throws(MessagingError) {
                guard let message = try socket.receive() else { return }
                onMessage(message)
            } catch {
                return onError(error)
            }
        }
    }
}
