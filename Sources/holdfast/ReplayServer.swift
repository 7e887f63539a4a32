// The shell of `holdfast replay --zeromq`: a publisher of what was journalled, frame by frame, at the pace at which it was
// received, whose end is when each subscriber has taken all, or was given up.
import Basics
import FeedJournal
import Glibc
import JournalFiles
import Linux
import Logging
import Messaging
import Reactor
import Wire

final class ReplayServer {
    /// So many frames at most before subscriptions get their turn.
    private static let mostPerTurn = 500

    private(set) var source: ReplaySource
    private(set) var readers = Readership()
    private var pace: RecordedPace
    private let patience: Duration
    private let loop: EventLoop
    private let server: PublisherSocket
    private var signals: [EventSource] = []
    private var timer: Timer?
    private var looking: Timer?
    private var stopping: Timer?
    /// Somebody has subscribed.
    private var hasBegun = false
    private var isEnding = false
    private var next: Record?
    /// The frame that is being sent, and who has not been sent it yet.
    private var frame: [UInt8] = []
    private var awaiting: [Int32] = []
    private var sent: UInt64 = 0
    private var failure: PlayFailure?
    /// Who has read all and is about to depart.
    private var contented: Int32?

    init(_ options: ReplayCommand, _ source: ReplaySource, at endpoint: String) throws(PlayFailure) {
        self.source = source
        pace = RecordedPace(speed: options.flatOut ? nil : options.speed ?? 1)
        patience = .ofSeconds(options.patience ?? 60)
        let log: LimitedLog
        do throws(SystemError) {
            loop = try EventLoop()
            log = try LimitedLog(loop, Logger(label: "holdfast") { _ in SwiftLogNoOpLogHandler() })
        } catch {
            throw PlayFailure(error, for: "event loop")
        }
        let isLocal = Endpoint.isLocal(endpoint)
        let endpoints = ServerEndpoints(isLocal ? [endpoint] : [], plaintext: isLocal ? [] : [endpoint])
        do throws(BusError) {
            server = try PublisherSocket(loop, for: .marketData, at: endpoints, log: log)
        } catch {
            throw .unavailable("--zeromq \(endpoint): \(error)")
        }
        // It is given up here, and told why, before the kernel ends its connection.
        server.patience = max(server.patience, patience * 2)
        server.onRequest = { [unowned self] request, connection, _ in heard(request, of: connection) }
        server.onDrained = { [unowned self] _ in goOn() }
        server.onReadAll = { [unowned self] in contented = $0 }
        server.onDeparture = { [unowned self] in departed($0) }
    }

    func run() throws(PlayFailure) {
        do throws(SystemError) {
            for signal in [SIGINT, SIGTERM] {
                signals.append(try SignalSource(loop, signal: signal) { [unowned self] in stop() })
            }
            timer = try Timer(loop, accuracy: .microseconds(50)) { [unowned self] in turn() }
            looking = try Timer(loop, accuracy: .milliseconds(10)) { [unowned self] in look() }
            stopping = try Timer(loop, accuracy: .milliseconds(10)) { [unowned self] in stopAtOnce() }
            complain("replay: \(server.lastEndpoint), waiting for a subscription; Ctrl-C ends it")
            _ = try loop.run()
        } catch {
            throw PlayFailure(error, for: "event loop")
        }
        complain("replay: \(sent) frames")
        tellLost()
        if let failure { throw failure }
    }

    private func tellLost() {
        guard readers.lostCount > 0 else { return }
        for lost in readers.lost { complain("replay: \(lost)") }
        complain(
            """
            replay: \(readers.lostCount) of its subscribers did not get all of it; what they miss is played again \
            with --from, and a slow one is waited for longer with --patience
            """)
    }

    // MARK: - Subscribers

    private func heard(_ request: PublisherSocket.Request, of connection: Int32) {
        switch request {
        case .subscribe(let prefix): subscribed(to: prefix, by: connection)
        case .cancel(let prefix): readers.cancelled(prefix, by: connection)
        case .strange: break
        }
    }

    /// A marker is echoed as the gateway does, behind what was published before; the first other subscription is what
    /// was waited for.
    private func subscribed(to prefix: [UInt8], by connection: Int32) {
        guard let topic = try? Topic(parsing: prefix), case .sync = topic else {
            let address = server.peer(connection).address
            perform(readers.subscribed(to: prefix, by: connection, from: address))
            if !hasBegun { begin() }
            return
        }
        let header = FrameHeader(
            kind: .sync, feed: 0, channel: 0, epoch: 0, sequence: 0, state: .live, receiveTime: loop.wall)
        var echo: [UInt8] = []
        header.encode(topic: topic.bytes[...], body: [], into: &echo)
        server.send(echo, to: connection)
    }

    private func begin() {
        hasBegun = true
        timer?.arm(at: loop.now + .milliseconds(1))
        looking?.arm(at: loop.now + patience / Readership.looks)
    }

    private func departed(_ connection: Int32) {
        readers.departed(connection, hasReadAll: contented == connection)
        contented = nil
        awaiting.removeAll { $0 == connection }
        goOn()
    }

    private func look() {
        for reader in readers.present {
            guard let waiting = server.waiting(of: reader) else { continue }
            perform(readers.looked(at: reader, waiting: waiting))
        }
        looking?.arm(at: loop.now + patience / Readership.looks)
        goOn()
    }

    private func perform(_ actions: [Readership.Action]) {
        for action in actions {
            switch action {
            case .finish(let reader): server.finish(reader)
            case .hangUp(let reader): server.hangUp(on: reader)
            case .waitAtMost(let time): stopping?.arm(at: loop.now + time)
            }
        }
    }

    // MARK: - Frames

    /// Somebody has taken something, or is gone.
    private func goOn() {
        if readers.isDone { return loop.exit(0) }
        if hasBegun, !isEnding, !frame.isEmpty { timer?.arm(at: loop.now) }
    }

    private func turn() {
        guard !isEnding else { return }
        do throws(SystemError) {
            for _ in 0..<ReplayServer.mostPerTurn {
                guard handOver() else { return }
                if next == nil { next = try record() }
                guard let record = next else { return end() }
                let due = pace.due(record.stamp.receiveTime, at: loop.now)
                if due > loop.now { return timer?.arm(at: due) ?? () }
                next = nil
                frame = Array(record.contents)
                awaiting = readers.published(Array(record.topic))
            }
            timer?.arm(at: loop.now)
        } catch {
            failure = .unreadable(file: error.call, SystemError.text(error.number))
            end()
        }
    }

    /// Whether all have been sent the frame, if there is one.
    private func handOver() -> Bool {
        guard !frame.isEmpty else { return true }
        let asked = awaiting
        awaiting = asked.filter { reader in
            guard server.offer(frame, to: reader) else { return true }
            readers.sent(to: reader)
            return false
        }
        guard awaiting.isEmpty else { return false }
        sent += 1
        frame = []
        return true
    }

    /// The next record that is a frame: holes are for those who read the journal itself.
    private func record() throws(SystemError) -> Record? {
        while let record = try source.next() {
            if record.head.kind == .frame { return record }
        }
        return nil
    }

    // MARK: - The end

    private func end() {
        guard !isEnding else { return }
        isEnding = true
        timer?.disarm()
        perform(readers.ended())
        if readers.isDone { loop.exit(0) }
    }

    private func stop() {
        isEnding = true
        timer?.disarm()
        perform(readers.interrupted())
        if readers.isDone { loop.exit(0) }
    }

    private func stopAtOnce() {
        readers.stopped()
        loop.exit(0)
    }
}
