// When a subscriber of ours connects, how long each step may take, when it gives a peer up that says nothing, and when it
// tries again. A value; `SubscriberSocket` carries it out.
import Basics

/// A subscriber's connection, made again and again.
struct SubscriberMachine: Sendable {
    enum Action: Hashable, Sendable {
        /// Reach the peer; `connected` or `notReached` follows.
        case dial
        /// Begin the handshake.
        case greet
        /// Ask for all that is subscribed.
        case subscribe
        case ping
        /// Let go of the connection and of what came and was to be sent by it.
        case hangUp
        case news(Connection.News)
    }

    private enum State: Sendable {
        case waiting(until: Instant)
        case dialling
        /// `isExtended`: its time began anew since we were held up.
        case handshake(until: Instant, isExtended: Bool)
        case open(Silence)
    }

    /// How quiet an open connection is.
    private struct Silence: Sendable {
        var lastHeard: Instant
        var lookAt: Instant
        /// How often in a row it was looked and nothing had come: counted, so that a loop that was held up looks again
        /// when it has read what waits.
        var quietLooks = 0
    }

    /// How long one step on the way to a connection may take: connecting to an address, the handshake.
    static let patience: Duration = .seconds(1)
    /// A verdict on a handshake that comes later than this means that this process was held up.
    static let lateness: Duration = .milliseconds(100)
    /// How long after an end or where nobody is it is tried again, at first and in the end, and up to a half longer: a
    /// peer that comes back is to be had again at once, and one that stays away is not to be pestered.
    static let firstPause: Duration = .milliseconds(100)
    static let longestPause: Duration = .seconds(1)
    /// A peer is looked at so often within the time that it may say nothing: asked at the first and at the second quiet
    /// look, given up at the third.
    static let looks = 3

    /// A peer that says nothing for so long is given up.
    let silence: Duration
    private var state: State
    private var trials = HandshakeTrials()
    private var backoff = Backoff(
        first: SubscriberMachine.firstPause, longest: SubscriberMachine.longestPause)
    /// Attempts to connect since the start.
    private(set) var attempts: UInt64 = 0
    /// The wait before the next one, as it stood when it began; 0: it is connected, or none was needed.
    private(set) var retryAfter: Duration = .zero

    init(silence: Duration, at now: Instant) {
        self.silence = silence
        state = .waiting(until: now)
    }

    /// When `tick` is to be called; `nil`: when the peer is reached, or not.
    var deadline: Instant? {
        switch state {
        case .dialling: nil
        case .waiting(let until), .handshake(let until, _): until
        case .open(let quiet): quiet.lookAt
        }
    }

    var isOpen: Bool {
        switch state {
        case .open: true
        case .waiting, .dialling, .handshake: false
        }
    }

    var isInHandshake: Bool {
        switch state {
        case .handshake: true
        case .waiting, .dialling, .open: false
        }
    }

    func trouble(at endpoint: String, isSecured: Bool) -> String? {
        trials.trouble(at: endpoint, isSecured: isSecured)
    }

    // MARK: - Connecting

    /// Time has passed.
    ///
    /// - Parameter random: any number, here and elsewhere; keeps hosts apart that lost a peer together.
    mutating func tick(at now: Instant, random: UInt64) -> [Action] {
        guard let deadline, deadline <= now else { return [] }
        switch state {
        case .dialling: return []
        case .waiting:
            attempts &+= 1
            state = .dialling
            return [.dial]
        case .handshake(let until, let isExtended):
            guard now - until > SubscriberMachine.lateness, !isExtended else {
                return failed(.silent, at: now, random: random)
            }
            // What the peer has sent meanwhile is not read yet.
            state = .handshake(until: now + SubscriberMachine.patience, isExtended: true)
            return []
        case .open(let quiet): return look(quiet, at: now, random: random)
        }
    }

    /// The peer is reached.
    mutating func connected(at now: Instant) -> [Action] {
        guard case .dialling = state else { return [] }
        state = .handshake(until: now + SubscriberMachine.patience, isExtended: false)
        return [.greet]
    }

    /// Nobody is there now, whoever it was before.
    mutating func notReached(at now: Instant, random: UInt64) -> [Action] {
        guard case .dialling = state else { return [] }
        trials.nobodyThere()
        pause(at: now, random: random)
        return [.hangUp]
    }

    /// The handshake is through.
    mutating func opened(at now: Instant) -> [Action] {
        guard isInHandshake else { return [] }
        trials.reset()
        backoff.reset()
        retryAfter = .zero
        state = .open(Silence(lastHeard: now, lookAt: now + silence / SubscriberMachine.looks))
        return [.subscribe, .news(.connected)]
    }

    /// Other keys are to be used, at once.
    mutating func reconnect(at now: Instant) -> [Action] {
        let wasOpen = isOpen
        trials.reset()
        backoff.reset()
        wait(.zero, at: now)
        return wasOpen ? [.hangUp, .news(.disconnected)] : [.hangUp]
    }

    // MARK: - Its end

    /// The connection has ended, or cannot go on.
    mutating func ended(_ failure: HandshakeFailure, at now: Instant, random: UInt64) -> [Action] {
        switch state {
        case .waiting, .dialling: return []
        case .handshake: return failed(failure, at: now, random: random)
        case .open:
            pause(at: now, random: random)
            return [.hangUp, .news(.disconnected)]
        }
    }

    private mutating func failed(_ failure: HandshakeFailure, at now: Instant, random: UInt64) -> [Action] {
        guard let longer = trials.failed(failure, random: random) else {
            pause(at: now, random: random)
            return [.hangUp]
        }
        wait(longer, at: now)
        return [.hangUp, .news(.failed(failure))]
    }

    private mutating func pause(at now: Instant, random: UInt64) {
        wait(backoff.wait(random: random), at: now)
    }

    private mutating func wait(_ wait: Duration, at now: Instant) {
        retryAfter = wait
        state = .waiting(until: now + wait)
    }

    // MARK: - Silence

    /// Something came.
    mutating func heard(at now: Instant) {
        guard case .open(var quiet) = state else { return }
        quiet.lastHeard = now
        quiet.quietLooks = 0
        state = .open(quiet)
    }

    private mutating func look(_ silence: Silence, at now: Instant, random: UInt64) -> [Action] {
        var silence = silence
        let every = self.silence / SubscriberMachine.looks
        let isQuiet = now - silence.lastHeard >= every
        silence.quietLooks = isQuiet ? silence.quietLooks + 1 : 0
        guard silence.quietLooks < SubscriberMachine.looks else {
            return ended(.silent, at: now, random: random)
        }
        silence.lookAt = now + every
        state = .open(silence)
        return isQuiet ? [.ping] : []
    }
}
