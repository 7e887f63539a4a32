// A NUT driver of this host by its own socket, which pushes changes at once: the fast way, beside upsd's polls.
import Basics
import Linux
import Reactor

final class UPSDriverLink {
    private static let retryAfter: Duration = .seconds(2)

    let path: String
    private let context: WatcherContext
    private let onEvent: (DriverEvent?) -> Void
    private var connection: StreamConnection?
    private var conversation = DriverConversation()
    private var lines = NUTLines()
    private var timer: Timer?
    /// Whether the driver is heard by this way.
    private(set) var isOpen = false

    /// - Parameter onEvent: what the driver said; `nil`: it is no longer heard by this way.
    init(_ context: WatcherContext, path: String, onEvent: @escaping (DriverEvent?) -> Void)
        throws(SystemError)
    {
        self.context = context
        self.path = path
        self.onEvent = onEvent
        timer = try Timer(context.loop, accuracy: .milliseconds(50)) { [unowned self] in tick() }
        connection = try StreamConnection(context.loop, context.worker) { [unowned self] in heard($0) }
    }

    func start() { connection?.open(.unix(path: path)) }

    private func heard(_ event: StreamConnection.Event) {
        switch event {
        case .opened:
            isOpen = true
            lines = NUTLines()
            send(conversation.connected(at: context.loop.now))
        case .received(let bytes):
            for line in lines.received(bytes) {
                for event in conversation.received(line, at: context.loop.now) { onEvent(event) }
            }
        case .closed: return lost()
        }
        timer?.arm(at: conversation.deadline)
    }

    private func tick() {
        guard isOpen else { return start() }
        switch conversation.tick(at: context.loop.now) {
        case .nothing: break
        case .ask(let request): send([request])
        case .gone:
            connection?.close()
            return lost()
        }
        timer?.arm(at: conversation.deadline)
    }

    private func send(_ requests: [String]) {
        for request in requests { connection?.send(Array((request + "\n").utf8)) }
    }

    private func lost() {
        let wasOpen = isOpen
        isOpen = false
        if wasOpen { onEvent(nil) }
        timer?.arm(at: context.loop.now + UPSDriverLink.retryAfter)
    }
}
