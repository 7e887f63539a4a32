// A ZeroMQ socket on the loop. Its descriptor is edge-triggered and says only "look again", so the source
// looks at the socket before each wait, drains in batches, and comes back by a deferred source so that
// nobody starves.
public import Reactor
public import Linux

/// Receives a socket's messages on the loop.
public final class SocketSource {
    /// Messages taken before others get their turn.
    public static let batch = 256

    public let socket: Socket
    private let onMessage: (Socket.Message) -> Void
    private let onError: (MessagingError) -> Void
    private var arrivals: IOSource?
    private var again: DeferredSource?

    /// - Parameter onError: a receive that failed; the socket stays on the loop.
    public init(
        _ loop: EventLoop, _ socket: Socket, onError: @escaping (MessagingError) -> Void,
        onMessage: @escaping (Socket.Message) -> Void
    ) throws(SystemError) {
        self.socket = socket
        self.onMessage = onMessage
        self.onError = onError
        let again = try DeferredSource(loop) { [unowned self] in drain() }
        self.again = again
        // The drain itself runs from the deferred source, which the look before each wait arms. A look is a
        // system call: it is made only after an edge, or after a call that may have taken the edge's news.
        arrivals = try IOSource(loop, descriptor: socket.descriptor, edgeTriggered: true) {
            [unowned self] in self.socket.mayHaveNews = true
        }
        try arrivals?.setPrepare { [unowned self] in
            guard self.socket.mayHaveNews else { return }
            self.socket.mayHaveNews = false
            if self.socket.isReadable { again.arm() }
        }
    }

    private func drain() {
        for _ in 0..<SocketSource.batch {
            do throws(MessagingError) {
                guard let message = try socket.receive() else { return }
                onMessage(message)
            } catch {
                return onError(error)
            }
        }
    }
}
