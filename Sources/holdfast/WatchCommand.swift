// `holdfast watch`: the live picture on a terminal; into a file or a pipe, one line per change.
import ArgumentParser
import Basics
import Configuration
import Glibc
import Linux
import Messaging
import Reactor
import Terminal
import Wire

struct WatchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch",
        abstract: "Watch hosts, feeds and everything else as it changes.",
        discussion: """
            On a terminal the picture is redrawn in place; q ends it. Otherwise each change is one line: time, \
            host, subject, status and reason. Who is not heard is waited for, and named after a second.

            EXAMPLES
              holdfast watch
              holdfast watch | grep critical
              holdfast watch --endpoint tcp://127.0.0.1:5555,tcp://127.0.0.1:5556
              holdfast watch --endpoint tcp://10.0.0.1:5555,tcp://10.0.0.1:5556 --server-key 'KEY'
            """)

    @Option(
        name: .customLong("endpoint"),
        help: ArgumentHelp(
            "Follow this health bus (default: the agent and the gateway of this host); may be repeated.",
            valueName: "publish,request"))
    var endpoints: [EndpointPair] = []
    @OptionGroup var identity: IdentityOptions

    func run() throws {
        let pairs = try endpoints.isEmpty ? Daemon.allCases.map { try $0.endpoints() } : endpoints
        let buses = zip(
            try identity.targets(pairs.map(\.publish)), try identity.targets(pairs.map(\.request)))
        do {
            let session = try WatchSession(
                buses.map { (publish: $0, request: $1) }, named: !endpoints.isEmpty,
                onTerminal: Screen.isTerminal)
            _ = try session.run()
        } catch let error as BusError {
            complain("\(error); an endpoint is ipc:///PATH or tcp://ADDRESS:PORT")
            throw ExitCode.usage
        }
    }
}

/// The two endpoints of a health bus, `PUBLISH,REQUEST`.
struct EndpointPair: ExpressibleByArgument {
    let publish: String
    let request: String

    init(publish: String, request: String) {
        self.publish = publish
        self.request = request
    }

    init?(argument: String) {
        let parts = argument.split(separator: ",")
        guard parts.count == 2 else { return nil }
        publish = String(parts[0])
        request = String(parts[1])
    }
}

/// A run of `watch`: followers, screen and keys on one loop.
final class WatchSession {
    private static let mostChanges = 200
    /// Redrawn at most this often, however much changes.
    private static let redrawEvery: Duration = .milliseconds(100)
    /// Whoever has not been heard after so long is named, where no picture shows it.
    private static let noticeAfter: Duration = .seconds(1)

    private let loop: EventLoop
    private let context = MessagingContext()
    private let isNamed: Bool
    private let screen: Screen?
    private var followers: [BusFollower] = []
    private var changes = Ring<ChangeLine>(capacity: WatchSession.mostChanges)
    private var sources: [EventSource] = []
    private var redraw: Timer?
    private var notice: Timer?
    private var isRedrawDue = false

    /// - Parameter isNamed: somebody asked for these, so that each is missed.
    init(
        _ buses: [(publish: Target, request: Target)], named isNamed: Bool, onTerminal: Bool
    ) throws {
        loop = try EventLoop()
        self.isNamed = isNamed
        screen = onTerminal ? Screen() : nil
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            sources.append(try SignalSource(loop, signal: signal) { [unowned self] in loop.exit(0) })
        }
        if let screen { try prepare(screen) }
        followers = try buses.map { bus in
            try BusFollower(context, loop, publish: bus.publish, request: bus.request) {
                [unowned self] events, follower in took(events, of: follower)
            }
        }
        guard !onTerminal else { return }
        notice = try Timer(loop) { [unowned self] in nameSilent() }
        notice?.arm(at: Clock.monotonic + Self.noticeAfter)
    }

    private func nameSilent() {
        let expected = isNamed ? Daemon.allCases : Daemon.expected
        for follower in followers where follower.view.liveness == .neverHeard {
            if let daemon = Daemon.owning(follower.endpoint), !expected.contains(daemon) { continue }
            let advice = Advice.forSilence(of: follower.endpoint)
            complain("no word from \(follower.endpoint) yet, waiting; \(advice)")
        }
    }

    func run() throws -> Int32 { try loop.run() }

    private func prepare(_ screen: Screen) throws {
        sources.append(try SignalSource(loop, signal: SIGWINCH) { [unowned self] in draw() })
        sources.append(
            try SignalSource(loop, signal: SIGTSTP) { [unowned self] in
                screen.leave()
                kill(getpid(), SIGSTOP)
                screen.enter()
                draw()
            })
        if screen.takesKeys {
            sources.append(
                try IOSource(loop, descriptor: STDIN_FILENO) { [unowned self] in
                    var keys = [UInt8](repeating: 0, count: 64)
                    let count = unsafe read(STDIN_FILENO, &keys, keys.count)
                    let isEnd = count == 0 || keys.prefix(max(0, count)).contains(UInt8(ascii: "q"))
                    if isEnd { loop.exit(0) }
                })
        }
        redraw = try Timer(loop) { [unowned self] in draw() }
        redraw?.arm(at: Clock.monotonic)
    }

    private func took(_ events: [HealthView.Event], of follower: BusFollower) {
        let lines = events.compactMap { ChangeLine($0, host: follower.host, at: loop.wall) }
        guard let redraw else {
            return write(lines.map { $0.line + "\n" }.joined())
        }
        for line in lines { changes.append(line) }
        guard !lines.isEmpty, !isRedrawDue else { return }
        isRedrawDue = true
        redraw.arm(at: loop.now + Self.redrawEvery)
    }

    private func draw() {
        let size = Screen.size
        let picture = WatchScreen(
            publishers: followers.map(\.picture), changes: changes.elements.reversed(), now: Clock.wall,
            palette: Screen.outputPalette)
        screen?.draw(picture.lines(width: size.width, height: size.height))
        isRedrawDue = false
        // The ages grow by themselves.
        redraw?.arm(at: loop.now + .seconds(1))
    }
}
