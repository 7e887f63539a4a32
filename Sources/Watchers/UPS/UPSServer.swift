// One upsd over TCP: connects, logs in, asks at each poll, and tells of every UPS what it said or why it did not.
// Never gives up; a server that garbles its answers is dropped and tried again.
import Basics
import Configuration
import Linux
import Reactor

/// What a server is known to say of its UPSes.
enum UPSNews: Hashable {
    /// The UPSes that it has, where it was asked for them.
    case served([String])
    case variables(ups: String, [String: String])
    case trouble(ups: String, UPSTroubleKind)
    /// The server itself: every UPS of it.
    case lost(String)
    /// What made no sense, for the log and the count.
    case malformed(String)
}

enum UPSTroubleKind: Hashable {
    case stale
    case driver(String)
}

final class UPSServer {
    /// UPSes of one server beyond this many are not asked for.
    private static let mostAsked = UPSWatcher.mostWatched
    private static let longestPause: Duration = .seconds(5)
    /// A server that says so much nonsense in one connection is dropped.
    private static let mostMalformed = 20

    let options: UPSServerOptions
    private let context: WatcherContext
    private let onNews: (UPSNews) -> Void
    private var connection: StreamConnection?
    private var conversation: NUTConversation
    private var lines = NUTLines()
    private var timer: Timer?
    private var names: [String]
    private var pause: Duration = .milliseconds(500)
    private var isConnected = false
    private var turns: UPSTurns
    private var malformed = 0

    init(
        _ context: WatcherContext, _ options: UPSServerOptions, password: String?, pollEvery: Duration,
        onNews: @escaping (UPSNews) -> Void
    ) throws(SystemError) {
        self.context = context
        self.options = options
        turns = UPSTurns(pollEvery: pollEvery, lists: options.upses.isEmpty)
        self.onNews = onNews
        names = options.upses
        conversation = NUTConversation(user: options.user, password: password)
        timer = try Timer(context.loop, accuracy: .milliseconds(5)) { [unowned self] in tick() }
        // The name of one server may be looked for in vain, while others are to be reached.
        let worker = try IPAddress(options.host) == nil ? Worker(context.loop) : context.worker
        connection = try StreamConnection(context.loop, worker) { [unowned self] in heard($0) }
    }

    func start() { connect() }

    private func connect() {
        connection?.open(.tcp(host: options.host, port: UInt16(clamping: options.port)))
    }

    private func send(_ requests: [String]) {
        guard !requests.isEmpty else { return }
        connection?.send(Array((requests.joined(separator: "\n") + "\n").utf8))
    }

    private func heard(_ event: StreamConnection.Event) {
        switch event {
        case .opened:
            isConnected = true
            lines = NUTLines()
            malformed = 0
            send(conversation.connected())
            perform(turns.opened(at: context.loop.now))
        case .received(let bytes):
            for line in lines.received(bytes) {
                for event in conversation.received(line) { take(event) }
                guard isConnected else { return }
            }
            settle()
        case .closed(let reason): lost(reason)
        }
    }

    private func perform(_ due: UPSTurns.Due) {
        switch due {
        case .nothing: break
        case .poll: send(conversation.poll(names))
        case .list: send(conversation.list())
        case .silent: return drop("no answer within \(UPSTurns.patience.inSeconds) s")
        }
        settle()
    }

    private func settle() {
        if conversation.isIdle { turns.answered() }
        timer?.arm(at: turns.deadline)
    }

    private func tick() {
        guard isConnected else { return connect() }
        perform(turns.tick(at: context.loop.now))
    }

    private func take(_ event: NUTEvent) {
        switch event {
        case .served(let served):
            names = Array(served.prefix(UPSServer.mostAsked))
            onNews(.served(served))
            perform(turns.listed(at: context.loop.now))
        case .variables(let ups, let variables):
            pause = .milliseconds(500)
            onNews(.variables(ups: ups, variables))
        case .stale(let ups): onNews(.trouble(ups: ups, .stale))
        case .driverGone(let ups): onNews(.trouble(ups: ups, .driver("upsd has lost it")))
        case .unknownUPS(let ups):
            turns.missed()
            onNews(.trouble(ups: ups, .driver("upsd knows no UPS of this name")))
        case .refused(let reason): drop("upsd refuses the login: \(reason)")
        case .malformed(let text):
            malformed += 1
            onNews(.malformed(text))
            if malformed >= UPSServer.mostMalformed { drop("it does not speak NUT's protocol") }
        }
    }

    private func drop(_ reason: String) {
        connection?.close()
        lost(reason)
    }

    private func lost(_ reason: String) {
        isConnected = false
        onNews(.lost(reason))
        timer?.arm(at: context.loop.now + pause)
        pause = min(pause * 2, UPSServer.longestPause)
    }
}
