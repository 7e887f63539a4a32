// Where a venue's messages go: to sockets of libzmq, or to lines that cost next to nothing. Beside libzmq's sockets the
// sender would be the most of what is measured.
import Basics
import CZeroMQ
import FeedProtocols
import Glibc
import Linux
import ZMTP

/// All of a venue's endpoints. Who is slow slows the venue down and loses nothing.
protocol QuoteOutlet {
    /// Waits for a subscription to more than heartbeats on each endpoint.
    func awaitSubscribers() throws
    func send(_ frame: [UInt8]) throws
    /// What was sent is on its way.
    func flush() throws
}

/// libzmq's sockets: each topic to those who subscribed to it.
final class QuoteSockets: QuoteOutlet {
    private let sockets: [BenchSocket]

    init(at endpoints: [String]) throws {
        let context = BenchContext()
        sockets = try endpoints.map { endpoint in
            let socket = try BenchSocket(context, ZMQ_XPUB)
            try socket.set(ZMQ_XPUB_NODROP, 1)
            try socket.set(ZMQ_SNDHWM, 10_000)
            try socket.bind(endpoint)
            return socket
        }
    }

    func awaitSubscribers() {
        for socket in sockets {
            while let asked = unsafe socket.receive().map({ unsafe Array($0) }) {
                if asked.first == 1, QuoteStream.isData(topic: asked.dropFirst()) { break }
            }
        }
    }

    func send(_ frame: [UInt8]) { for socket in sockets { socket.send(frame) } }
    func flush() {}
}

/// One subscriber of each endpoint, who gets everything: by the gateway's own ZMTP, many messages in one write.
final class QuoteLines: QuoteOutlet {
    private let lines: [QuoteLine]
    private var batch: [UInt8] = []

    init(at endpoints: [String]) throws { lines = try endpoints.map { try QuoteLine(at: $0) } }

    func awaitSubscribers() throws { for line in lines { try line.awaitSubscriber() } }

    func send(_ frame: [UInt8]) {
        ZMTPFrame.appendHeader([], count: frame.count, to: &batch)
        batch += frame
    }

    func flush() throws {
        for line in lines { try line.send(batch) }
        batch.removeAll(keepingCapacity: true)
    }
}

private final class QuoteLine {
    private let listener: StreamListener
    private let endpoint: String
    private var socket: StreamSocket?
    private var session = ServerSession(.publisher, .plain)
    private var buffer = [UInt8](repeating: 0, count: 64 << 10)
    private var hasSubscribed = false

    init(at endpoint: String) throws {
        guard endpoint.hasPrefix("ipc://") else { throw BenchMistake("\(endpoint): a line is at ipc://PATH") }
        self.endpoint = endpoint
        listener = try StreamListener(unix: String(endpoint.dropFirst("ipc://".count)))
    }

    func awaitSubscriber() throws {
        QuoteLine.wait(for: POLLIN, on: listener.descriptor.raw)
        socket = try listener.accept()
        try send(session.greeting)
        while !hasSubscribed { try hear() }
    }

    func send(_ bytes: [UInt8]) throws {
        guard let descriptor = socket?.descriptor.raw else {
            throw BenchMistake("\(endpoint): nobody is there")
        }
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = try socket?.send(rest) ?? 0
            if sent == 0 { QuoteLine.wait(for: POLLOUT, on: descriptor) }
            rest = rest.dropFirst(sent)
        }
    }

    private func hear() throws {
        if let descriptor = socket?.descriptor.raw { QuoteLine.wait(for: POLLIN, on: descriptor) }
        guard let count = try socket?.receive(into: &buffer), count > 0 else {
            throw BenchMistake("\(endpoint): the subscriber left")
        }
        var replies: [[UInt8]] = []
        try session.receive(buffer[..<count]) { event in
            switch event {
            case .send(let bytes): replies.append(bytes)
            case .subscribe(let topic): hasSubscribed = hasSubscribed || QuoteStream.isData(topic: topic)
            case .pong, .judge, .opened, .cancel, .strange: break
            }
        }
        for reply in replies { try send(reply) }
    }

    private static func wait(for event: Int32, on descriptor: Int32) {
        var wait = pollfd(fd: descriptor, events: Int16(event), revents: 0)
        _ = unsafe poll(&wait, 1, -1)
    }
}

/// What cannot be measured so.
struct BenchMistake: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
