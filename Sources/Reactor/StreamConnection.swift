// A client's connection on the loop: dialled, then bytes in and out, each within a bound. Whoever uses it decides when to
// try again.
public import Linux

/// A stream to one peer.
public final class StreamConnection {
    public enum Event: Hashable, Sendable {
        case opened
        case received([UInt8])
        /// It is over, and why, without the peer's name; another `open` may follow.
        case closed(String)
    }

    /// Bytes that may wait to be sent; a peer that does not read for longer is given up.
    static let mostUnsent = 64 << 10
    /// Bytes read before others get their turn.
    static let mostAtOnce = 64 << 10

    private let loop: EventLoop
    private let onEvent: (Event) -> Void
    private var buffer: [UInt8]
    private var dialler: Dialler?
    private var stream: ConnectedStream?
    /// Goes before the descriptor that it watches.
    private var source: IOSource?
    private var unsent: [UInt8] = []

    /// - Parameters:
    ///   - limit: how long connecting to one address may take.
    ///   - pieceBytes: the most that is read, and told, at a time.
    public init(
        _ loop: EventLoop, _ lookUps: NameLookups, limit: Duration = .seconds(2),
        by route: StreamRoute = StreamRoute(),
        pieceBytes: Int = 4096, onEvent: @escaping (Event) -> Void
    ) throws(SystemError) {
        self.loop = loop
        buffer = [UInt8](repeating: 0, count: pieceBytes)
        self.onEvent = onEvent
        dialler = try Dialler(loop, lookUps, limit: limit, by: route) { [unowned self] in dialled($0) }
    }

    /// Likewise, with names looked up on a thread that has other work as well.
    public convenience init(
        _ loop: EventLoop, _ worker: Worker, limit: Duration = .seconds(2),
        onEvent: @escaping (Event) -> Void
    ) throws(SystemError) {
        try self.init(loop, NameLookups(loop, on: worker), limit: limit, onEvent: onEvent)
    }

    /// Begins to connect; an earlier connection is dropped without an event.
    public func open(_ address: StreamAddress) {
        close()
        dialler?.dial(address)
    }

    /// Drops the connection without an event.
    public func close() {
        dialler?.stop()
        source = nil
        stream = nil
        unsent = []
    }

    private func dialled(_ outcome: Dialler.Outcome) {
        switch outcome {
        case .failed(let reason): failed(reason)
        case .connected(let stream):
            do throws(SystemError) {
                source = try IOSource(loop, descriptor: stream.socket.descriptor.raw) { [unowned self] in
                    ready()
                }
            } catch {
                return failed("\(error)")
            }
            self.stream = stream
            onEvent(.opened)
        }
    }

    /// Sends bytes, now or as soon as the peer takes them.
    public func send(_ bytes: some Collection<UInt8>) {
        guard stream != nil else { return }
        guard unsent.count + bytes.count <= StreamConnection.mostUnsent else {
            return failed("it does not read what it is sent")
        }
        unsent.append(contentsOf: bytes)
        flush()
    }

    private func failed(_ reason: String) {
        close()
        onEvent(.closed(reason))
    }

    private func ready() {
        do throws(SystemError) {
            flush()
            try receive()
        } catch {
            failed("\(error)")
        }
    }

    /// Nothing that had arrived waits behind what was told last.
    public private(set) var isEmptied = true

    private func receive() throws(SystemError) {
        var total = 0
        while let stream, total < StreamConnection.mostAtOnce {
            guard let count = try stream.socket.receive(into: &buffer) else { return }
            guard count > 0 else { return failed("closed by the peer") }
            total += count
            isEmptied = count < buffer.count
            onEvent(.received(Array(buffer[..<count])))
        }
    }

    private func flush() {
        guard let stream, !unsent.isEmpty else { return }
        do throws(SystemError) {
            let count = try stream.socket.send(unsent)
            unsent.removeFirst(count)
            try source?.setInterest(unsent.isEmpty ? .readable : .both)
        } catch {
            failed("\(error)")
        }
    }
}
