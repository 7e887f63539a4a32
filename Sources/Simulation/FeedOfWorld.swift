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
    /// What outlives a gateway of its journal, a disk for each channel, and what is wrong with them.
    var disks: [UInt16: SimulatedDisk] = [:]
    var disk = DiskWeather()
    /// The instruments that this run of the gateway knows from its journal, and of which epoch.
    var remembered: (epoch: UInt64, instruments: Set<Int>)?
    /// An operator pinned it to a path, sound or not.
    var isHeld = false
    /// Its numbers began anew, or it was steered.
    var disturbedAt: Instant
    /// No fault until then: a number that begins again is recognised by what follows.
    var leftAloneUntil: Instant

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

    func send(_ word: VenueWord, at now: Instant) {
        let generation = venue.generations.count - 1
        for path in paths { path.send(word, generation, at: now) }
    }
}
