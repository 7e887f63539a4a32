// Strangers who knock: each makes the whole CURVE handshake, with a key that is on no list, and stays for as long as it is
// let. One step of its own is done once for all of them, so that this side has less to do than the other.
import ArgumentParser
import Basics
import Glibc
import Linux
import Wire
import ZMTP

struct Knock: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Make CURVE handshakes with a key that nobody lets in, at a steady rate or as fast as it goes.")

    @Argument(help: "An address and a port.") var host: String
    @Argument(help: "The port.") var port: UInt16
    @Option(help: "The server's public key.") var server: String
    @Option(help: "The strangers' public key.") var `public`: String
    @Option(help: "Their secret key.") var secret: String
    @Option(help: "Connections a second; 0: as fast as it goes.") var rate = 0.0
    @Option(help: "For so many seconds.") var seconds = 10.0
    @Option(help: "Handshakes at once.") var atOnce = 256
    @Option(help: "Connections at most that stay until the other side ends them.") var held = 1500

    func run() throws {
        DescriptorLimit.raise()
        guard let server = PublicKey(server), let ours = PublicKey(self.public),
            let secret = SecretKey(secret),
            let address = try? ResolvedAddress.lookUp(host: host, port: port).get().first
        else { throw ValidationError("--server, --public and --secret take keys; see --help") }
        let keys = KeyPair(publicKey: ours, secretKey: secret)
        var crowd = try Crowd(address, try Stranger.template(keys, server), atOnce: atOnce, held: held)
        var pace = Pace(rate: rate)
        while pace.seconds < seconds {
            if rate > 0 { pace.wait(for: 1) }
            try crowd.come()
            try crowd.goOn(waiting: rate == 0)
        }
        tell([
            JSON.Member("connections", count: crowd.connections),
            JSON.Member("handshakes", count: crowd.handshakes), JSON.Member("ended", count: crowd.ended),
            JSON.Member("seconds", .number(pace.seconds)),
            JSON.Member("rate", .number(Double(crowd.handshakes) / pace.seconds)),
        ])
    }
}

/// One connection.
private final class Stranger {
    let socket: StreamSocket
    var session: SubscriberSession
    var received: [UInt8] = []
    var isThrough = false

    init(_ socket: consuming StreamSocket, _ session: SubscriberSession) {
        self.socket = socket
        self.session = session
    }

    /// A session that has heard a greeting, and its own first bytes.
    static func template(
        _ keys: KeyPair, _ server: PublicKey
    ) throws -> (session: SubscriberSession, bytes: [UInt8]) {
        let entropy = (0..<CurveClient.entropyCount).map { _ in UInt8.random(in: 0...255) }
        var session = SubscriberSession(.curve(keys, server: server, entropy: entropy))
        let greeting = ZMTPGreeting.encode(mechanism: "CURVE", isServer: true)
        var place = 0
        let first = session.greeting
        guard case .send(let hello)? = try session.next(in: greeting, at: &place, to: greeting.count) else {
            throw ValidationError("no HELLO")
        }
        return (session, first + hello)
    }
}

/// All of them.
private struct Crowd: ~Copyable {
    private let address: ResolvedAddress
    private let template: (session: SubscriberSession, bytes: [UInt8])
    private let atOnce: Int
    private let held: Int
    private let set: ReadySet
    private var strangers: [Int32: Stranger] = [:]
    private var staying: [Int32] = []
    private var buffer = [UInt8](repeating: 0, count: 4096)
    private(set) var connections = 0
    private(set) var handshakes = 0
    private(set) var ended = 0

    init(
        _ address: ResolvedAddress, _ template: (session: SubscriberSession, bytes: [UInt8]), atOnce: Int,
        held: Int
    ) throws {
        self.address = address
        self.template = template
        self.atOnce = atOnce
        self.held = held
        set = try ReadySet()
    }

    mutating func come() throws {
        guard strangers.count - staying.count < atOnce else { return }
        let stranger = Stranger(try StreamSocket(connecting: address), template.session)
        let descriptor = stranger.socket.descriptor.raw
        strangers[descriptor] = stranger
        connections += 1
        try set.add(descriptor)
    }

    mutating func goOn(waiting: Bool) throws {
        if waiting, strangers.count - staying.count >= atOnce {
            var wait = pollfd(fd: set.descriptor.raw, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&wait, 1, 10)
        }
        for descriptor in try set.ready(atMost: 64) {
            guard let stranger = strangers[descriptor] else { continue }
            if (try? hear(stranger)) == true {
                try set.await(descriptor)
            } else {
                ended += 1
                leave(descriptor)
            }
        }
        while staying.count > held { leave(staying[0]) }
    }

    /// Whether it is still there.
    private mutating func hear(_ stranger: Stranger) throws -> Bool {
        guard let count = try stranger.socket.receive(into: &buffer) else { return true }
        guard count > 0 else { return false }
        if stranger.received.isEmpty { _ = try stranger.socket.send(template.bytes) }
        stranger.received += buffer[..<count]
        var place = ZMTPGreeting.size
        guard !stranger.isThrough, stranger.received.count > place,
            case .send(let initiate)? = try stranger.session.next(
                in: stranger.received, at: &place, to: stranger.received.count)
        else { return true }
        _ = try stranger.socket.send(initiate)
        stranger.isThrough = true
        staying.append(stranger.socket.descriptor.raw)
        handshakes += 1
        return true
    }

    private mutating func leave(_ descriptor: Int32) {
        set.remove(descriptor)
        staying.removeAll { $0 == descriptor }
        strangers[descriptor] = nil
    }
}
