// One feed of a simulated world: how it is configured, its venue and the paths in between.
import Basics
import Configuration

final class FeedOfWorld {
    let options: FeedOptions
    let venue: Venue
    /// Whether somebody always holds the whole feed; else each instrument is subscribed by itself.
    let isHeldWhole: Bool
    /// How often the venue says that it is there.
    let heartbeatEvery: Duration
    var paths: [SimulatedPath] = []
    /// The venue's re-request servers, which may be deaf.
    var deafServers = 0
    /// Those of PITCH, and how much of what they send again is lost.
    var proxies: [GapProxyServer] = []
    var gapLoss = 0.02
    /// The gateway's end of the gap multicast; `nil`: there is none.
    var gapArrival: (([UInt8], Evidence) -> Void)?
    /// What outlives a gateway of its journal, a disk for each channel, and what is wrong with them.
    var disks: [UInt16: SimulatedDisk] = [:]
    var disk = DiskWeather()
    /// The instruments that this run of the gateway knows from its journal, and of which epoch.
    var remembered: (epoch: UInt64, instruments: Set<Int>)?
    /// An operator pinned it to a path, sound or not.
    var isHeld = false
    /// Its numbers began anew, or it was steered.
    var disturbedAt: Instant
    /// When the gateway last moved to another path, or lost the connection of one: what waits there it need not read.
    var leftPathAt: Instant?
    /// No fault until then: a number that begins again is recognised by what follows.
    var leftAloneUntil: Instant

    /// The path whose messages are others than the venue sent, and since when.
    var liar: (path: SimulatedPath, since: Instant)?
    /// When there was one last.
    var liedAt: Instant?
    /// When the venue last said something, and when that was after a while of silence: who says nothing cannot be
    /// compared.
    private var spokeAt = Instant.zero
    private var resumedAt = Instant.zero

    init(
        _ options: FeedOptions, _ venue: Venue, isHeldWhole: Bool, heartbeatEvery: Duration, at now: Instant
    ) {
        self.options = options
        self.venue = venue
        self.isHeldWhole = isHeldWhole
        self.heartbeatEvery = heartbeatEvery
        disturbedAt = now
        leftAloneUntil = now
    }

    /// For so long nobody need be found out.
    private static let patienceWithLiars: Duration = .seconds(1)
    /// So long it counts who differed from whom, and what is under way comes.
    private static let remembered: Duration = .seconds(8)
    /// What a liar said may still be under way.
    private static let longestWay: Duration = .seconds(3)

    /// A gateway that did not run reads what came meanwhile: it finds the paths by it, and who lied.
    func gatewayRunsAgain(awaySince: Instant, at now: Instant) {
        disturbedAt = now
        if let lied = liedAt, awaySince - lied < Self.longestWay { liedAt = now }
        for path in paths { path.server?.thaws() }
    }

    /// Whether a path that is distrusted has to be expected: what it brings does not count.
    func mayDistrust(at now: Instant) -> Bool {
        liar != nil || liedAt.map { now - $0 < options.holdDown + Self.remembered } ?? false
    }

    /// Whether what a liar said may be published: nobody else is there to be followed, or it cannot be told who lies,
    /// or it was not found out yet by the gateway that runs since `start`.
    func mayPublishLies(at now: Instant, since start: Instant) -> Bool {
        guard let liar else { return liedAt.map { now - $0 < Self.longestWay } ?? false }
        let others = paths.filter { $0 !== liar.path }
        let isOutvoted = others.count > 1 || others.contains { $0.index < liar.path.index }
        let areHeard = others.allSatisfy { path in
            !path.isCalledDead && path.soundSince.map { now - $0 > Self.patienceWithLiars } ?? false
        }
        return options.policy == .hotWarm || !isOutvoted || !areHeard || liar.path.troubles > 1
            || now - max(liar.since, liar.path.betterSince, resumedAt, start) < Self.patienceWithLiars
    }

    /// Since when some path can be expected to bring everything; `nil`: none can.
    func steadySince(at now: Instant) -> Instant? {
        var earliest: Instant?
        for path in paths {
            guard let since = path.steadySince(options.silence, at: now) else { continue }
            earliest = min(earliest ?? since, since)
        }
        return earliest
    }

    func send(_ word: VenueWord, at now: Instant) {
        if case .messages = word {
            if now - spokeAt > .milliseconds(300) { resumedAt = now }
            spokeAt = now
        }
        let generation = venue.generations.count - 1
        for path in paths { path.send(word, generation, at: now) }
    }
}
