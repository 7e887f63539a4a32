// A venue's re-request servers: they answer from the truth, in packets of their own, now and then too late or not at
// all; and they count how often they are asked.
import Basics
import Configuration
import FeedProtocols
import Gateway

/// A feed's way to whom it asks again, in one run of the gateway.
protocol SimulatedRecovery: RecoverySink {
    func open()
    /// The gateway that asks has ended.
    func close()
}

final class RequestServers: SimulatedRecovery {
    /// What one answer holds at most.
    private static let mostPerAnswer = 8
    /// Where a whole session is asked for.
    private static let mostOfSession = 30

    private var isClosed = false
    private unowned let world: Simulation
    private let feed: Int
    private let answer: ([UInt8], Int) -> Void
    private var asked = RecentCount()

    init(_ world: Simulation, _ feed: Int, _ answer: @escaping ([UInt8], Int) -> Void) {
        self.world = world
        self.feed = feed
        self.answer = answer
    }

    func open() {}
    func close() { isClosed = true }

    func ask(_ request: [UInt8], of server: Int) -> AskOutcome {
        count()
        guard let request = try? MoldUDP64Request(decoding: request[...]) else {
            world.checker.violated(.quota, "a request is none")
            return .sent
        }
        let of = world.feeds[feed]
        guard of.deafServers == 0 || server > 0 && world.random.chance(0.5), world.random.chance(0.95) else {
            return .sent
        }
        let later = world.now + world.random.duration(.microseconds(200) ... .milliseconds(30))
        world.note(at: later) { [self] in reply(request, server) }
        return .sent
    }

    private func count() {
        let quota = world.feeds[feed].options.recover.requestsPerSecond
        asked.add(at: world.now)
        let lately = asked.inLast(.seconds(1), at: world.now)
        if lately > quota {
            world.checker.violated(.quota, "\(lately) requests in a second, and \(quota) are allowed")
        }
    }

    private func reply(_ request: MoldUDP64Request, _ server: Int) {
        guard !isClosed else { return }
        let venue = world.feeds[feed].venue
        guard
            let index = venue.generations.lastIndex(where: { MoldSession($0.session) == request.session })
        else { return }
        let first = request.firstSequence
        let most =
            world.feeds[feed].options.start == .session
            ? RequestServers.mostOfSession : RequestServers.mostPerAnswer
        let wanted = min(Int(request.count), most)
        let messages = (0..<UInt64(wanted)).compactMap {
            venue.generations[index].message(first + $0, of: nil)
        }
        guard !messages.isEmpty else {
            return answer(MoldUDP64PacketBuilder.heartbeat(session: request.session, next: first), server)
        }
        var builder = MoldUDP64PacketBuilder(session: request.session)
        builder.begin(at: first)
        for message in messages { _ = builder.append(message.payload) }
        world.checker.recovered(Evidence(generation: index, messages: messages), of: feed)
        answer(builder.bytes, server)
    }
}
