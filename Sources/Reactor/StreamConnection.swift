// A client's connection on the loop: name look-up on the worker, connecting, bytes in and out, each within a bound.
// Whoever uses it decides when to try again.
import Basics
public import Linux

/// A stream to one peer.
public final class StreamConnection {
    public enum Event: Hashable, Sendable {
        case opened
        case received([UInt8])
        /// It is over, and why; another `open` may follow.
        case closed(String)
    }

    /// Bytes that may wait to be sent; a peer that does not read for longer is given up.
    static let mostUnsent = 64 << 10
    /// Bytes read before others get their turn.
    static let mostAtOnce = 64 << 10

    private let loop: EventLoop
    private let worker: Worker
    private let onEvent: (Event) -> Void
    private let limit: Duration
    private let route: StreamRoute
    private var buffer: [UInt8]
    private var socket: Holder?
    private var source: IOSource?
    private var timer: Timer?
    private var addresses: [ResolvedAddress] = []
    private var unsent: [UInt8] = []
    private var isOpen = false
    /// Tells an answer of the worker that belongs to an earlier attempt.
    private var attempt = 0

    /// A class of its own, since a noncopyable value cannot be an optional property that is replaced in closures.
    private final class Holder {
        let socket: StreamSocket
        let text: String

        init(_ address: ResolvedAddress, _ route: StreamRoute) throws(SystemError) {
            socket = try StreamSocket(connecting: address, by: route)
            text = address.text
        }
    }

    /// - Parameters:
    ///   - limit: how long connecting to one address may take.
    ///   - pieceBytes: the most that is read, and told, at a time.
    public init(
        _ loop: EventLoop, _ worker: Worker, limit: Duration = .seconds(2),
        by route: StreamRoute = StreamRoute(),
        pieceBytes: Int = 4096, onEvent: @escaping (Event) -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.route = route
        buffer = [UInt8](repeating: 0, count: pieceBytes)
        self.worker = worker
        self.limit = limit
        self.onEvent = onEvent
        timer = try Timer(loop, accuracy: .milliseconds(10)) { [unowned self] in
            failed("no answer within \(self.limit.inSeconds) s")
        }
    }

    /// Begins to connect; an earlier connection is dropped without an event.
    public func open(_ address: StreamAddress) {
        close()
        attempt += 1
        switch address {
        case .unix(let path):
            guard let resolved = ResolvedAddress(unix: path) else {
                return onEvent(.closed("\(path): too long for a socket"))
            }
            addresses = [resolved]
            connect()
        case .tcp(let host, let port): lookUp(host, port)
        }
    }

    /// Drops the connection without an event.
    public func close() {
        timer?.disarm()
        source = nil
        socket = nil
        addresses = []
        unsent = []
        isOpen = false
        attempt += 1
    }

    /// Sends bytes, now or as soon as the peer takes them.
    public func send(_ bytes: some Collection<UInt8>) {
        guard isOpen else { return }
        guard unsent.count + bytes.count <= StreamConnection.mostUnsent else {
            return failed("it does not read what it is sent")
        }
        unsent.append(contentsOf: bytes)
        flush()
    }

    private func lookUp(_ host: String, _ port: UInt16) {
        let number = attempt
        let isAccepted = worker.perform({ ResolvedAddress.lookUp(host: host, port: port) }) {
            [weak self] result in
            guard let self, attempt == number else { return }
            switch result {
            case .success(let found):
                addresses = found
                connect()
            case .failure(let failure): failed(failure.description)
            }
        }
        if !isAccepted { failed("too many look-ups wait") }
    }

    /// The next address, or the end.
    private func connect() {
        guard !addresses.isEmpty else { return }
        let address = addresses.removeFirst()
        do throws(SystemError) {
            let holder = try Holder(address, route)
            socket = holder
            source = try IOSource(loop, descriptor: holder.socket.descriptor.raw, interest: .writable) {
                [unowned self] in ready()
            }
            timer?.arm(at: loop.now + limit)
        } catch {
            failed("\(error)")
        }
    }

    private func failed(_ reason: String) {
        guard isOpen || addresses.isEmpty else {
            source = nil
            socket = nil
            return connect()
        }
        close()
        onEvent(.closed(reason))
    }

    private func ready() {
        guard let socket else { return }
        do throws(SystemError) {
            if !isOpen {
                try socket.socket.finishConnecting(socket.text)
                timer?.disarm()
                isOpen = true
                try source?.setInterest(.readable)
                onEvent(.opened)
                return
            }
            flush()
            try receive()
        } catch {
            failed("\(error)")
        }
    }

    private func receive() throws(SystemError) {
        var total = 0
        while isOpen, let socket, total < StreamConnection.mostAtOnce {
            guard let count = try socket.socket.receive(into: &buffer) else { return }
            guard count > 0 else { return failed("closed by the peer") }
            total += count
            onEvent(.received(Array(buffer[..<count])))
        }
    }

    private func flush() {
        guard let socket, !unsent.isEmpty else { return }
        do throws(SystemError) {
            let count = try socket.socket.send(unsent)
            unsent.removeFirst(count)
            try source?.setInterest(unsent.isEmpty ? .readable : .both)
        } catch {
            failed("\(error)")
        }
    }
}
