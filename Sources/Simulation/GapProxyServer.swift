// One of a venue's Gap Request Proxies: it lets the gateway in, says what becomes of each request, and sends what it serves
// to the gap multicast, which loses some of it. It refuses, is slow, hangs up, and counts what it is asked.
import Basics
import Configuration
import FeedProtocols

final class GapProxyServer {
    /// Messages in a packet of the gap multicast.
    private static let packet = 8
    /// The most messages of one request.
    private static let mostMessages = 100

    /// It takes no connections.
    var isRefusing = false
    /// It takes the next login for one of somebody who is there already.
    var isInUse = false
    /// What it answers to each request; `nil`: what is true.
    var refusal: GapResponse.Status?
    /// How much later than else it answers.
    var extraDelay = Duration.zero
    /// Ends the gateway's connection, if there is one.
    var hangUp: (() -> Void)?
    private unowned let world: Simulation
    private unowned let feed: FeedOfWorld
    private let number: Int
    /// How far behind the last message a request may begin.
    private let reach: UInt64
    private var beatAt = Instant.zero
    private var decoder = GapProxyDecoder()
    private var isLetIn = false
    /// To the gateway; `nil`: nobody is connected.
    private var reply: (([UInt8]) -> Void)?
    /// Requests of late, of this and earlier runs of the gateway.
    private var asked = RecentCount()

    init(_ world: Simulation, _ feed: FeedOfWorld, number: Int) {
        self.world = world
        self.feed = feed
        self.number = number
        reach = world.random.element(of: [50, 1500])
    }

    private var isStuck: Bool { feed.deafServers > 0 && number == 0 }
    var name: String { "\(feed.options.name)/gap\(number + 1)" }

    // MARK: - Its connection

    func connected(_ reply: @escaping ([UInt8]) -> Void) {
        (decoder, isLetIn, self.reply) = (GapProxyDecoder(), false, reply)
    }

    func closed() { (isLetIn, reply) = (false, nil) }

    /// Says each second that it lives.
    func beat() {
        guard !isStuck, isLetIn, world.now - beatAt >= .seconds(1) else { return }
        beatAt = world.now
        reply?(GapProxyMessage.heartbeat.bytes)
    }

    func receive(_ bytes: [UInt8]) {
        decoder.feed(bytes)
        do throws(MalformedInput) {
            while let message = try decoder.next() { if !isStuck { take(message) } }
        } catch {
            world.checker.violated(.quota, "\(name) is told what is no message: \(error)")
        }
    }

    private func take(_ message: GapProxyMessage) {
        switch message {
        case .heartbeat: break
        case .login:
            isLetIn = !isInUse
            reply?(GapProxyMessage.loginAnswered(isInUse ? .sessionInUse : .accepted).bytes)
            isInUse = false
        case .request(let request):
            let wait = extraDelay + world.random.duration(.microseconds(200) ... .milliseconds(30))
            world.note(at: world.now + wait) { [self] in answer(request) }
        case .loginAnswered, .response, .other:
            world.checker.violated(.quota, "\(name) is told what only a server says: \(message)")
        }
    }

    // MARK: - Requests

    private func answer(_ request: GapRequest) {
        guard isLetIn, let reply else { return }
        let status = status(of: request)
        world.trace.say(
            world.now, name, "answers \(request.first)+\(request.count) with \(status)")
        reply(GapProxyMessage.response(GapResponse(request, status)).bytes)
        if status == .accepted { serve(UInt64(request.first), UInt64(request.count)) }
    }

    private func status(of request: GapRequest) -> GapResponse.Status {
        let end = UInt64(feed.venue.current.messages.count)
        let last = UInt64(request.first) + UInt64(request.count) - 1
        asked.add(at: world.now)
        if let refusal { return refusal }
        if request.unit != 1 { return .invalidUnit }
        if request.count > GapProxyServer.mostMessages { return .count }
        if last > end || UInt64(request.first) + reach < end { return .outOfRange }
        let options = feed.options.recover
        if asked.inLast(.seconds(1), at: world.now) > options.requestsPerSecond { return .secondQuota }
        let minute = asked.inLast(.seconds(60), at: world.now)
        return minute > options.requestsPerMinute ?? .max ? .minuteQuota : .accepted
    }

    /// Sends messages to all who listen.
    private func serve(_ first: UInt64, _ count: UInt64) {
        let generation = feed.venue.generations.count - 1
        let messages = (first..<first + count).compactMap { feed.venue.current.message($0, of: nil) }
        for start in stride(from: 0, to: messages.count, by: GapProxyServer.packet) {
            let part = Array(messages[start..<min(start + GapProxyServer.packet, messages.count)])
            guard !world.random.chance(feed.gapLoss) else { continue }
            var builder = PITCHPacketBuilder()
            builder.begin(at: part[0].sequence, time: feed.venue.wall(world.now))
            for message in part { _ = builder.append(message.payload) }
            let wait = world.random.duration(.milliseconds(1) ... .milliseconds(20))
            world.note(at: world.now + wait) { [feed, bytes = builder.bytes] in
                feed.gapArrival?(bytes, Evidence(generation: generation, messages: part))
            }
        }
    }
}
