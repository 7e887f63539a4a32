// The shell of `holdfast replay --zeromq`: an XPUB that publishes what was journalled, frame by frame, at the pace at
// which it was received.
import Basics
import FeedJournal
import Glibc
import JournalFiles
import Linux
import Messaging
import Reactor
import Wire

final class ReplayServer {
    /// So many frames at most before subscriptions get their turn.
    private static let mostPerTurn = 500
    /// How long a subscriber that does not keep up is waited for before it is tried again.
    private static let waitForReader = Duration.milliseconds(2)

    private(set) var source: ReplaySource
    private var pace: RecordedPace
    private let endpoint: String
    private let loop: EventLoop
    private let context = MessagingContext()
    private let socket: Socket
    private var subscriptions: SocketSource?
    private var signals: [EventSource] = []
    private var timer: Timer?
    /// Somebody has subscribed.
    private var hasBegun = false
    private var next: Record?
    private var sent: UInt64 = 0
    private var failure: PlayFailure?

    init(_ options: ReplayCommand, _ source: ReplaySource, at endpoint: String) throws(PlayFailure) {
        self.source = source
        self.endpoint = endpoint
        pace = RecordedPace(speed: options.flatOut ? nil : options.speed ?? 1)
        do throws(SystemError) {
            loop = try EventLoop()
            // Signals are blocked before ZeroMQ starts its thread, so that they all come here.
            var signals: [EventSource] = []
            for signal in [SIGINT, SIGTERM] {
                signals.append(try SignalSource(loop, signal: signal) { [loop] in loop.exit(0) })
            }
            self.signals = signals
        } catch {
            throw PlayFailure(error, for: "event loop")
        }
        do throws(MessagingError) {
            socket = try Socket(context, .xpub)
            try socket.set(.xpubVerboser)
            try socket.set(.xpubNoDrop)
            try socket.set(.maximumMessageSize(4096))
            try socket.set(.sendHighWaterMark(10_000))
            // So that the last frames leave before the program does.
            try socket.set(.linger(5000))
            try socket.bind(endpoint)
        } catch {
            throw PlayFailure(error, for: "--zeromq \(endpoint)")
        }
    }

    func run() throws(PlayFailure) {
        do throws(SystemError) {
            timer = try Timer(loop, accuracy: .microseconds(50)) { [unowned self] in turn() }
            subscriptions = try SocketSource(loop, socket, onError: { _ in }) { [unowned self] in heard($0) }
            complain("replay: \(socket.lastEndpoint), waiting for a subscription; Ctrl-C ends it")
            _ = try loop.run()
        } catch {
            throw PlayFailure(error, for: "event loop")
        }
        complain("replay: \(sent) frames")
        if let failure { throw failure }
    }

    /// A marker is echoed as the gateway does, behind what was published before; the first other subscription is what
    /// was waited for.
    private func heard(_ message: Socket.Message) {
        guard message.frames.count == 1, let frame = message.frames.first, frame.first == 1 else { return }
        guard let topic = try? Topic(parsing: frame.dropFirst()), case .sync = topic else {
            if !hasBegun { timer?.arm(at: loop.now + .milliseconds(1)) }
            return hasBegun = true
        }
        let header = FrameHeader(
            kind: .sync, feed: 0, channel: 0, epoch: 0, sequence: 0, state: .live, receiveTime: loop.wall)
        var echo: [UInt8] = []
        header.encode(topic: topic.bytes[...], body: [], into: &echo)
        _ = try? socket.send(echo)
    }

    private func turn() {
        do throws(SystemError) {
            for _ in 0..<ReplayServer.mostPerTurn {
                if next == nil { next = try frame() }
                guard let record = next else { return loop.exit(0) }
                let due = pace.due(record.stamp.receiveTime, at: loop.now)
                if due > loop.now { return timer?.arm(at: due) ?? () }
                guard try send(record) else {
                    return timer?.arm(at: loop.now + ReplayServer.waitForReader) ?? ()
                }
                next = nil
            }
            timer?.arm(at: loop.now)
        } catch {
            failure = .unreadable(file: error.call, SystemError.text(error.number))
            loop.exit(0)
        }
    }

    /// The next record that is a frame: holes are for those who read the journal itself.
    private func frame() throws(SystemError) -> Record? {
        while let record = try source.next() {
            if record.head.kind == .frame { return record }
        }
        return nil
    }

    /// `false`: a subscriber does not keep up.
    private func send(_ record: Record) throws(SystemError) -> Bool {
        do throws(MessagingError) {
            guard try socket.send(Array(record.contents)) else { return false }
            sent += 1
            return true
        } catch {
            throw SystemError("--zeromq \(endpoint)", number: error.number)
        }
    }
}
