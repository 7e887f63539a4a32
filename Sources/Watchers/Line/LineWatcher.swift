// The shell of all feeds' lines: captures in, the machines' verdicts out. Only where configured.
import Basics
public import Configuration
import Detection
import FeedProtocols
public import Linux
import Reactor
import Wire

/// Watches feeds' lines on the wire.
public final class LineWatcher: Watcher {
    /// How often silence is looked for.
    private static let beat: Duration = .milliseconds(100)

    private let context: WatcherContext
    private var options: [LineOptions]
    private var feeds: [LineFeed] = []
    private var timer: Timer?

    public init(_ context: WatcherContext, _ options: AgentOptions) throws(SystemError) {
        self.context = context
        self.options = options.lines
        timer = try Timer(context.loop, accuracy: .milliseconds(20)) { [unowned self] in tick() }
    }

    public func start() { arrange() }

    public func reconfigure(_ options: AgentOptions) {
        self.options = options.lines
        feeds.removeAll { feed in
            guard !options.lines.contains(feed.options) else { return false }
            feed.forget()
            return true
        }
        arrange()
    }

    public func sample() { for feed in feeds { feed.sample() } }

    private func arrange() {
        for line in options where !feeds.contains(where: { $0.options == line }) {
            do throws(SystemError) {
                let feed = try LineFeed(context, line)
                feeds.append(feed)
                feed.start()
            } catch {
                context.logger.event(.watchedWithLess, "line \(line.feed): \(error), not watching it")
            }
        }
        timer?.arm(at: feeds.isEmpty ? nil : context.loop.now + LineWatcher.beat)
    }

    private func tick() {
        for feed in feeds { feed.tick() }
        timer?.arm(at: context.loop.now + LineWatcher.beat)
    }
}

/// One feed: its lines' edges and the machine that judges them.
private final class LineFeed {
    let options: LineOptions
    private let context: WatcherContext
    private var machine: LineMachine
    private var paths: [LinePath] = []
    private var told: [LineMachine.Condition?]
    private var session: SessionWatch?

    init(_ context: WatcherContext, _ options: LineOptions) throws(SystemError) {
        self.context = context
        self.options = options
        let packetProtocol = PacketProtocol(options.lineProtocol)
        machine = LineMachine(
            lines: options.paths.map(\.name), limits: LineLimits(options, packetProtocol),
            from: context.loop.now)
        told = options.paths.map { _ in nil }
        session = options.session.map { SessionWatch($0) }
        for (index, path) in options.paths.enumerated() {
            guard let destination = IPv4Endpoint(path.group) else { continue }
            let filter = CaptureFilter(
                interface: path.interface, destination: destination,
                source: path.source.flatMap { IPv4Address($0) })
            paths.append(
                try LinePath(
                    context, filter, bufferBytes: options.bufferBytes, packetProtocol,
                    onNews: { [unowned self] in heard($0, of: index) },
                    onPacket: { [unowned self] in took($0, on: index, arrival: $1) }))
        }
    }

    func start() {
        followSession()
        tell()
        for path in paths { path.open() }
    }

    func forget() { for index in options.paths.indices { context.forget(subject(index)) } }

    func sample() {
        for index in options.paths.indices {
            let verdict = machine.verdict(index, at: context.loop.now)
            context.sample(Sample(subject(index), verdict.values))
        }
    }

    /// Takes what waits in the captures first, so that nothing is called silent that only waited for us.
    func tick() {
        for (index, path) in paths.enumerated() {
            path.drain()
            if machine.isSecondOver(at: context.loop.now) { machine.dropped(path.dropped, on: index) }
        }
        followSession()
        machine.tick(at: context.loop.now)
        tell()
    }

    private func followSession() {
        guard let phase = session?.phase(at: context.loop.wall) else { return }
        machine.session(is: phase, at: context.loop.now)
    }

    private func heard(_ news: LineNews, of index: Int) {
        switch news {
        case .opened: machine.opened(index, at: context.loop.now)
        case .closed(let reason): machine.closed(index, because: reason)
        }
        tell()
    }

    private func took(_ header: SequencedHeader?, on index: Int, arrival: WallTime) {
        guard let header else { return machine.malformed(on: index) }
        machine.received(header, on: index, arrival: arrival, at: context.loop.now)
    }

    private func subject(_ index: Int) -> Subject {
        Subject(.line, "\(options.feed).\(options.paths[index].name)")
    }

    private func tell() {
        for (index, path) in options.paths.enumerated() {
            let condition = machine.condition(index, at: context.loop.now)
            guard told[index] != condition else { continue }
            told[index] = condition
            let verdict = machine.verdict(index, at: context.loop.now)
            context.report(
                Finding(
                    subject(index), verdict.status, verdict.reason, values: verdict.values,
                    dependsOn: [Subject(.nic, path.interface)]))
        }
    }
}

extension PacketProtocol {
    /// The protocol that a configuration names.
    init(_ configured: LineOptions.LineProtocol) {
        self =
            switch configured {
            case .moldUDP64: .moldUDP64
            case .pitch: .pitch
            case .iexTP: .iexTP
            case .mdp3: .mdp3
            }
    }
}

extension LineLimits {
    init(_ options: LineOptions, _ packetProtocol: PacketProtocol) {
        self.init(
            silence: options.silence ?? packetProtocol.silence, silenceBehindTwin: options.silenceBehindTwin,
            lossWindow: options.lossWindow, loss: Limit(.above, options.loss),
            unit: packetProtocol.numbersPackets ? "packets" : "messages")
    }
}
