// A ZeroMQ socket on the loop. Its descriptor is edge-triggered and says only "look again", so the source
// looks at the socket before each wait, drains in batches, and comes back by a deferred source so that
// nobody starves.
public import Reactor
public import Linux

/// Receives what comes to a socket on the loop.
public final class SocketSource {
    public let socket: Socket
    private let onMessage: (Socket.Message) -> Void
    private let onError: (MessagingError) -> Void
    private var arrivals: IOSource?
    private var again: DeferredSource?
    /// What may be taken before others get their turn.
    private var budget = TurnBudget()

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
        budget = TurnBudget()
        while budget.hasRoom {
            do throws(MessagingError) {
                guard let message = try socket.receive() else { return }
                budget.took()
                onMessage(message)
            } catch {
                return onError(error)
            }
        }
    }
}
