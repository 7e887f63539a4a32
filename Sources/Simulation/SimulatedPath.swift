// One path from a venue to the gateway: a server of the venue's, and the network in between with all that goes
// wrong there. Datagrams are lost, reordered, doubled, cut short and joined by strangers; a stream keeps its order
// and loses only what its connection or its server's queue loses.
import Basics
import Configuration
import FeedProtocols
import Wire

/// What is wrong with a path's network now.
struct Weather {
    var lossRatio = 0.0
    var doubleRatio = 0.0
    var reorderRatio = 0.0
    /// Packets that arrive broken: cut short, or with bytes of others.
    var brokenRatio = 0.0
    var extraDelay: Duration = .zero
}

/// What a packet says, as far as it arrives unharmed.
struct Evidence {
    var generation: Int
    var messages: [TrueMessage]
}

final class SimulatedPath {
    /// Frames that wait in a server's queue while the stream stands still.
    static let serverQueue = 2000

    let feed: Int
    let index: Int
    let name: String
    let venue: Venue
    let isStream: Bool
    let subject: Subject
    var weather = Weather()
    /// How many faults concern it now, and since when none does.
    private(set) var troubles = 0
    private(set) var soundSince: Instant?
    /// When one of them ended last.
    private(set) var betterSince = Instant.zero
    /// How many of these faults cut it off.
    var cuts = 0 {
        didSet { if isCut { server?.sever() } }
    }
    /// Until then a stream stands still, and a switch holds datagrams back.
    var stalledUntil = Instant.zero
    /// What the server of a stream knows of the gateway's subscriptions.
    var hasEverything = false
    var instruments: Set<Int> = []
    /// It says something else than the venue sent.
    var isLying = false
    /// An agent calls it dead, and is wrong: what it brings may not count until that is refuted.
    var isCalledDead = false
    /// The gateway's end: `nil` while there is none.
    var arrival: ((ArraySlice<UInt8>, Evidence?) -> Void)?
    /// Told when a stream's connection ends, or a link goes down, and when another try would succeed.
    var lost: (() -> Void)?
    var restored: (() -> Void)?
    /// A stream's server takes no connections.
    var isRefusing = false
    /// The gateway that it comes from, in place of the venue's server.
    var upstream: UpstreamGateway?
    /// The server that it comes from, where it is a stream of SoupBinTCP.
    var server: SoupServer?
    /// Another number for each connection: what was under way on an earlier one is lost.
    var connection = 0

    private unowned let world: Simulation
    private let codec: VenueCodec
    private let delay: Duration
    private let jitter: Duration
    private var random: SeededRandom
    private var lastArrival = Instant.zero
    private var lastArrivalBack = Instant.zero
    private var underWay = 0

    init(
        _ world: Simulation, feed: Int, index: Int, venue: Venue, isStream: Bool, random: SeededRandom,
        at now: Instant
    ) {
        self.world = world
        self.feed = feed
        self.index = index
        self.venue = venue
        self.isStream = isStream
        self.random = random
        name = FeedPathOptions.name(index)
        subject = FeedPathOptions.subject(venue.name, index)
        soundSince = now
        delay = self.random.duration(.microseconds(50) ... .milliseconds(3))
        jitter = self.random.duration(.zero ... .microseconds(isStream ? 200 : 800))
        let cut = self.random.below(6) + 1
        codec = VenueCodec(venue: venue, cut: venue.kind == .mdp3 ? 1 : cut)
    }

    var isCut: Bool { cuts > 0 }

    /// The path, for people.
    var place: String { "\(venue.name)/\(name)" }

    /// Since when it can be expected to bring everything; `nil`: it cannot.
    func steadySince(_ silence: Duration, at now: Instant) -> Instant? {
        guard let server, let soundSince else { return soundSince }
        return server.steady(
            since: soundSince, wayBack: SimulatedSoupSource.wayBack(silence: silence), at: now)
    }

    func troubleBegins() {
        troubles += 1
        soundSince = nil
    }

    func troubleEnds(at now: Instant) {
        troubles -= 1
        betterSince = now
        if troubles == 0 { soundSince = now }
    }

    // MARK: - Sending

    /// The venue's server says something of a generation.
    func send(_ word: VenueWord, _ generation: Int, at now: Instant) {
        if let upstream { return upstream.take(word, generation) }
        if let server { return server.say(word) }
        if isStream, arrival == nil || isCut { return }
        let said = venue.generations[generation]
        for part in parts(of: word) {
            for packet in codec.packets(isLying ? part.word.lied : part.word, said, at: now) {
                deliver(packet, Evidence(generation: generation, messages: part.messages), at: now)
            }
        }
    }

    /// A gateway's frame goes on to the next one.
    func relay(_ frame: [UInt8], _ evidence: Evidence?, at now: Instant) {
        guard arrival != nil, !isCut, underWay < SimulatedPath.serverQueue else { return }
        arrive(frame, evidence, at: nextArrival(now))
    }

    /// When what a stream carries now is there, behind all that went before.
    private func nextArrival(_ now: Instant) -> Instant {
        lastArrival = max(
            lastArrival, stalledUntil, now + delay + weather.extraDelay + random.duration(.zero...jitter))
        return lastArrival
    }

    /// A stream's bytes on their way to the gateway, in pieces that are cut anywhere.
    func carry(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let length = random.chance(0.2) ? 1 + random.below(rest.count) : rest.count
            arrive(Array(rest.prefix(length)), nil, at: nextArrival(world.now))
            rest = rest.dropFirst(length)
        }
    }

    /// The gateway's bytes on their way to a stream's server, unless nothing gets through.
    func carryBack(_ bytes: [UInt8], _ receive: @escaping ([UInt8]) -> Void) {
        guard !isCut else { return }
        lastArrivalBack = max(lastArrivalBack, stalledUntil, world.now + delay + weather.extraDelay)
        world.note(at: lastArrivalBack) { [self, connection] in
            if connection == self.connection { receive(bytes) }
        }
    }

    /// Whether its server is asked for topics.
    var takesRequests: Bool { isStream && upstream == nil }

    /// What goes into one packet each, so that what arrives is known message by message.
    private func parts(of word: VenueWord) -> [(word: VenueWord, messages: [TrueMessage])] {
        switch word {
        case .messages(let messages) where isStream:
            messages.filter { isSubscribed($0.instrument) }.map { (.messages([$0]), [$0]) }
        case .messages(let messages):
            stride(from: 0, to: messages.count, by: codec.cut).map { start in
                let part = Array(messages[start..<min(start + codec.cut, messages.count)])
                return (.messages(part), part)
            }
        case .idle(let instrument): isSubscribed(instrument) ? [(word, [])] : []
        case .heartbeat, .endOfSession: [(word, [])]
        }
    }

    private func isSubscribed(_ instrument: Int) -> Bool { hasEverything || instruments.contains(instrument) }

    private func deliver(_ packet: [UInt8], _ evidence: Evidence, at now: Instant) {
        guard isStream else {
            datagram(packet, evidence, at: now)
            if random.chance(weather.doubleRatio) { datagram(packet, evidence, at: now) }
            return
        }
        guard underWay < SimulatedPath.serverQueue else { return }
        arrive(packet, evidence, at: nextArrival(now))
    }

    private func datagram(_ packet: [UInt8], _ evidence: Evidence, at now: Instant) {
        guard !isCut, !random.chance(weather.lossRatio) else { return }
        var late = delay + weather.extraDelay + random.duration(.zero...jitter)
        if random.chance(weather.reorderRatio) { late = late + random.duration(.zero ... .milliseconds(40)) }
        let at = max(stalledUntil, now + late)
        guard random.chance(weather.brokenRatio) else { return arrive(packet, evidence, at: at) }
        arrive(broken(packet), nil, at: at)
    }

    /// What passes UDP's checksum all the same: packets cut short by a slot, of another protocol, or with an end
    /// that is not theirs.
    private func broken(_ packet: [UInt8]) -> [UInt8] {
        switch random.below(3) {
        case 0: return Array(packet.prefix(brokenLength(below: packet.count)))
        case 1: return (0..<brokenLength(below: 64)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        // Cut within its header where there is nothing else.
        default: return Array(packet.prefix(packet.count > 12 ? 12 : packet.count / 2)) + [0xFF, 0xFF]
        }
    }

    /// A packet of MDP 3.0 that is just as long as its header is sound: one without messages.
    private func brokenLength(below limit: Int) -> Int {
        let length = random.below(limit)
        return venue.kind == .mdp3 && length == MDP3Header.length ? length + 1 : length
    }

    private func arrive(_ packet: [UInt8], _ evidence: Evidence?, at: Instant) {
        underWay += 1
        world.note(at: at) { [self, connection] in
            underWay -= 1
            guard connection == self.connection else { return }
            arrival?(packet[...], evidence)
        }
    }

    // MARK: - A stream's connection and its subscriptions

    func cutOff() {
        connection += 1
        upstream?.departed()
        (lastArrival, lastArrivalBack) = (.zero, .zero)
        hasEverything = false
        instruments = []
    }

    /// A request of the gateway's on its way to the server.
    func request(_ change: @escaping (SimulatedPath) -> Void) {
        world.note(at: world.now + delay + weather.extraDelay) { [self, connection] in
            guard connection == self.connection, arrival != nil else { return }
            change(self)
        }
    }

    func instrument(_ topic: [UInt8]) -> Int? {
        venue.instruments.indices.first { codec.topic(of: $0) == topic }
    }

    /// The server answers a subscription with where the topic stands.
    func answer(_ instrument: Int, keeps: Bool = true) {
        if keeps { instruments.insert(instrument) }
        send(.idle(instrument), venue.generations.count - 1, at: world.now)
    }
}

extension FeedPathOptions {
    /// A path of a feed of the world, by its number from 0.
    init(of feed: String, number: Int) {
        self.init(name: FeedPathOptions.name(number))
        dependsOn = [Dependency(FeedPathOptions.subject(feed, number))]
    }

    static func name(_ number: Int) -> String { ["A", "B", "C"][number] }

    /// What an agent calls critical when the path is dead.
    static func subject(_ feed: String, _ number: Int) -> Subject { Subject(.nic, "\(feed)-\(name(number))") }
}
