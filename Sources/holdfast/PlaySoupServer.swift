// The SoupBinTCP server of `holdfast play`: lets clients in, sends each what it has not got yet, as fast as it
// reads, and heartbeats when there is nothing to send. A client that is too slow for what is kept is hung up on.
import Basics
import Configuration
import FeedProtocols
import Linux
import Reactor

final class PlaySoupServer {
    static let mostClients = 64
    static let heartbeatEvery = Duration.seconds(1)
    /// A client that says nothing for so long, not even that it lives, is gone.
    static let clientSilence = Duration.seconds(15)

    let endpoint: IPv4Endpoint
    let session: MoldSession
    let history: PlayHistory
    /// User and password, where not everybody is let in.
    let login: VenueLogin?
    let loop: EventLoop
    private let listener: StreamListener
    private var source: IOSource?
    private var clients: [Int: PlaySoupClient] = [:]
    private var nextClient = 0
    private var errors = PlaySendErrors()
    fileprivate var sent: UInt64 = 0
    fileprivate var bytes: UInt64 = 0
    fileprivate var malformed: UInt64 = 0
    private var logins: UInt64 = 0

    init(
        _ endpoint: IPv4Endpoint, _ loop: EventLoop, session: MoldSession, history: PlayHistory,
        login: VenueLogin?
    ) throws(PlayFailure) {
        self.endpoint = endpoint
        self.session = session
        self.history = history
        self.login = login
        self.loop = loop
        do throws(SystemError) {
            listener = try StreamListener(at: endpoint)
            source = try IOSource(loop, descriptor: listener.descriptor.raw) { [unowned self] in accept() }
        } catch {
            throw PlayFailure(error, for: "--soup \(endpoint)")
        }
    }

    private func accept() {
        do throws(SystemError) {
            while let socket = try listener.accept() {
                // Too many: hung up on.
                guard clients.count < PlaySoupServer.mostClients else { continue }
                nextClient += 1
                clients[nextClient] = try PlaySoupClient(socket, number: nextClient, of: self)
            }
        } catch {
            let second = loop.now.nanoseconds / 1_000_000_000
            errors.add(error.number, on: "--soup \(endpoint)", second: second)
        }
    }

    /// There is more to send.
    func flush() {
        for client in clients.values { client.flush() }
    }

    /// Heartbeats, and goodbye to clients that are gone.
    func beat() {
        for client in clients.values { client.beat() }
    }

    /// The end of the session, to clients that have everything.
    func end() {
        for client in clients.values { client.end() }
    }

    func drop(_ number: Int) { clients[number] = nil }

    /// Where a login begins; `nil` and why: nowhere.
    func admit(_ wanted: SoupLogin) -> Result<SoupPosition, SoupRefusal> {
        if let login, login.user != wanted.user || login.password != wanted.password {
            return .failure(SoupRefusal(why: .notAuthorised))
        }
        guard wanted.position.session == session || wanted.position.session == MoldSession("") else {
            return .failure(SoupRefusal(why: .sessionNotAvailable))
        }
        logins += 1
        let next =
            wanted.position.next == 0
            ? history.next : min(max(wanted.position.next, history.first), history.next)
        return .success(SoupPosition(session: session, next: next))
    }

    var summary: PlayPathSummary {
        PlayPathSummary(
            path: "soup \(endpoint)", sent: sent, bytes: bytes, dropped: 0, errors: errors.counts,
            subscriptions: logins, malformed: malformed)
    }
}

/// A rejection that is thrown about.
struct SoupRefusal: Error { var why: SoupRejection }

/// One client of the server.
private final class PlaySoupClient {
    private static let mostUnsent = 64 << 10

    private let socket: Socket
    private let number: Int
    private unowned let server: PlaySoupServer
    private var source: IOSource?
    private var decoder = SoupDecoder()
    private var buffer = [UInt8](repeating: 0, count: 4096)
    private var unsent = ByteWriter(capacity: PlaySoupClient.mostUnsent)
    /// The number that it gets next; `nil`: it is not let in yet.
    private var next: UInt64?
    private var isEnding = false
    private var lastSent: Instant
    private var lastHeard: Instant

    /// A class of its own, since a noncopyable value cannot be handed on through an optional.
    final class Socket {
        let stream: StreamSocket
        init(_ stream: consuming StreamSocket) { self.stream = stream }
    }

    init(_ stream: consuming StreamSocket, number: Int, of server: PlaySoupServer) throws(SystemError) {
        socket = Socket(stream)
        self.number = number
        self.server = server
        (lastSent, lastHeard) = (server.loop.now, server.loop.now)
        source = try IOSource(server.loop, descriptor: socket.stream.descriptor.raw) { [unowned self] in
            ready()
        }
    }

    private func ready() {
        do throws(SystemError) {
            while let count = try socket.stream.receive(into: &buffer) {
                guard count > 0 else { return server.drop(number) }
                lastHeard = server.loop.now
                decoder.feed(buffer[..<count])
                guard answer() else { return server.drop(number) }
            }
        } catch {
            return server.drop(number)
        }
        flush()
    }

    /// Whether the client made sense so far.
    private func answer() -> Bool {
        do throws(MalformedInput) {
            while let packet = try decoder.next() {
                switch packet {
                case .login(let login):
                    guard next == nil else { return false }
                    admit(login)
                case .logout: return false
                case .clientHeartbeat, .debug, .unsequenced: break
                case .accepted, .rejected, .sequenced, .serverHeartbeat, .endOfSession:
                    server.malformed += 1
                    return false
                }
            }
            return true
        } catch {
            server.malformed += 1
            return false
        }
    }

    private func admit(_ login: SoupLogin) {
        switch server.admit(login) {
        case .success(let position):
            next = position.next
            SoupPacket.accepted(position).write(into: &unsent)
        case .failure(let refusal):
            isEnding = true
            SoupPacket.rejected(refusal.why).write(into: &unsent)
        }
    }

    /// Sends what there is, until the client has everything or does not take more now.
    func flush() {
        do throws(SystemError) {
            while fill(), !unsent.bytes.isEmpty {
                let count = try socket.stream.send(unsent.bytes)
                guard count > 0 else { break }
                lastSent = server.loop.now
                server.bytes += UInt64(count)
                unsent.bytes.removeFirst(count)
            }
            if isEnding, unsent.bytes.isEmpty { return server.drop(number) }
            try source?.setInterest(unsent.bytes.isEmpty ? .readable : .both)
        } catch {
            server.drop(number)
        }
    }

    /// Puts messages in line. `false`: the client is too far behind.
    private func fill() -> Bool {
        guard let position = next, !isEnding else { return true }
        guard position >= server.history.first else {
            SoupPacket.debug(Array("too slow: messages are no longer kept".utf8)[...]).write(into: &unsent)
            isEnding = true
            return true
        }
        var number = position
        while unsent.bytes.count < PlaySoupClient.mostUnsent, let message = server.history.message(number) {
            SoupPacket.sequenced(message[...]).write(into: &unsent)
            number += 1
        }
        server.sent += number - position
        next = number
        return true
    }

    func beat() {
        let now = server.loop.now
        guard now - lastHeard < PlaySoupServer.clientSilence else { return server.drop(number) }
        guard next != nil, now - lastSent >= PlaySoupServer.heartbeatEvery, unsent.bytes.isEmpty else {
            return
        }
        SoupPacket.serverHeartbeat.write(into: &unsent)
        flush()
    }

    /// The end is for a client that was given all that was played. Who lags is hung up on without it, and so knows that
    /// there was more.
    func end() {
        flush()
        guard let next, next == server.history.next, !isEnding else { return }
        SoupPacket.endOfSession.write(into: &unsent)
        flush()
    }
}
