// What goes wrong, and for how long: each fault is begun, and undone when it is over.
import Basics
import Configuration
import FeedJournal
import FeedProtocols
import Gateway
import Wire

enum Fault: String, CaseIterable {
    case loss, burst, outage, outageOfAll, reordering, doubling, delay, breaking, stall
    case disconnection, flapping, linkDown
    case venueFreeze, sessionRoll, sequenceReset, deafServers
    case agentTrue, agentFalse, mute, hold, switchPath
    case slowClient, clientGone, changeOfMind, gatewayKilled, gatewayAway, lying
    case diskFull, diskSlow, upstreamKilled
    case proxyGone, proxyRefuses, proxySlow, gapLoss
    case halfOpen, serverFrozen, serverRestarted, loginRejected, loginUnanswered, garbage
}

extension Simulation {
    /// Begins a fault; `false`: what was chosen does not fit here and now.
    func injectFault() -> Bool {
        let feed = random.element(of: feeds)
        guard feed.leftAloneUntil <= now else { return false }
        let path = random.element(of: feed.paths)
        let fault = random.element(of: Fault.allCases)
        switch fault {
        case .loss, .reordering, .doubling, .breaking: return !path.isStream && weather(fault, path)
        case .delay: return weather(fault, path)
        case .burst: return !path.isStream && cut(path, for: .milliseconds(1) ... .milliseconds(60))
        case .outage: return cut(path, for: .milliseconds(50) ... .seconds(4))
        case .outageOfAll:
            let length = random.duration(.milliseconds(20) ... .seconds(3))
            return feed.paths.allSatisfy { cut($0, for: length...length) }
        case .stall: return stall(path)
        case .disconnection: return path.isStream && disconnect(path)
        case .flapping: return flap(path)
        case .linkDown: return (!path.isStream || path.server != nil) && linkDown(path)
        case .venueFreeze: return freeze(feed)
        case .sessionRoll: return roll(feed)
        case .sequenceReset: return reset(feed)
        case .deafServers: return deafen(feed)
        case .agentTrue, .agentFalse: return alarm(path, isTrue: fault == .agentTrue)
        case .mute, .hold, .switchPath: return steer(feed, path, fault)
        case .slowClient, .clientGone, .changeOfMind: return client(fault, feed)
        case .gatewayKilled: return killGateway()
        case .gatewayAway: return stopGateway()
        case .upstreamKilled: return killUpstream(path)
        case .halfOpen, .serverFrozen, .serverRestarted, .loginRejected, .loginUnanswered, .garbage:
            return path.server.map { self.server(fault, $0, path) } ?? false
        case .proxyGone, .proxyRefuses, .proxySlow, .gapLoss: return proxy(fault, feed)
        case .lying: return lie(feed, path)
        case .diskFull, .diskSlow: return spoilDisk(feed, isFull: fault == .diskFull)
        }
    }

    /// Something is wrong until then.
    private func lasts(_ length: Duration, _ end: @escaping () -> Void) {
        ongoing += 1
        note(at: now + length) { [self] in
            ongoing -= 1
            end()
        }
    }

    /// A fault of a path; it is sound again when this and all others are over.
    private func trouble(
        _ path: SimulatedPath, _ length: Duration, _ what: String, _ end: @escaping () -> Void
    ) {
        trace.say(now, path.place, "FAULT \(what), for \(length.inMilliseconds) ms")
        path.troubleBegins()
        lasts(length) { [self] in
            trace.say(now, path.place, "is over: \(what)")
            end()
            path.troubleEnds(at: now)
        }
    }

    private func weather(_ fault: Fault, _ path: SimulatedPath) -> Bool {
        let length = random.duration(.milliseconds(50) ... .seconds(3))
        let ratio = random.ratio(0.01...0.5)
        switch fault {
        case .loss:
            path.weather.lossRatio += ratio
            trouble(path, length, "loses \(Int(ratio * 100)) %") { path.weather.lossRatio -= ratio }
        case .reordering:
            path.weather.reorderRatio += ratio
            trouble(path, length, "reorders \(Int(ratio * 100)) %") { path.weather.reorderRatio -= ratio }
        case .doubling:
            path.weather.doubleRatio += ratio
            trouble(path, length, "doubles \(Int(ratio * 100)) %") { path.weather.doubleRatio -= ratio }
        case .breaking:
            path.weather.brokenRatio += ratio
            trouble(path, length, "breaks \(Int(ratio * 100)) %") { path.weather.brokenRatio -= ratio }
        default:
            let extra = random.duration(.milliseconds(1) ... .milliseconds(200))
            path.weather.extraDelay = path.weather.extraDelay + extra
            trouble(path, length, "delays by \(extra.inMilliseconds) ms") {
                path.weather.extraDelay = path.weather.extraDelay - extra
            }
        }
        return true
    }

    /// A black hole: nothing comes through, and nobody says so. What a stream would have carried is lost with
    /// its connection, which ends when the hole does.
    private func cut(_ path: SimulatedPath, for lengths: ClosedRange<Duration>) -> Bool {
        let length = random.duration(lengths)
        path.cuts += 1
        trouble(path, length, "is a black hole") { [self] in
            path.cuts -= 1
            tellLoss(path)
        }
        return true
    }

    /// The end of a stream on which something was lost; over SoupBinTCP it may find out by itself.
    private func tellLoss(_ path: SimulatedPath) {
        if path.isStream, path.server == nil || random.chance(0.5) { path.lost?() }
    }

    /// Everything is held back, and then comes at once.
    private func stall(_ path: SimulatedPath) -> Bool {
        let length = random.duration(.milliseconds(10) ... .milliseconds(1200))
        path.stalledUntil = max(path.stalledUntil, now + length)
        trouble(path, length + .milliseconds(10), "stands still") {}
        return true
    }

    private func disconnect(_ path: SimulatedPath) -> Bool {
        path.isRefusing = true
        trouble(path, random.duration(.milliseconds(1) ... .seconds(2)), "is disconnected") {
            path.isRefusing = false
            if path.server == nil { path.restored?() }
        }
        path.lost?()
        return true
    }

    private func killUpstream(_ path: SimulatedPath) -> Bool {
        guard let upstream = path.upstream, !path.isRefusing else { return false }
        path.isRefusing = true
        upstream.kill()
        trouble(path, random.duration(.milliseconds(20) ... .milliseconds(1500)), "has its gateway killed") {
            path.isRefusing = false
            upstream.start()
            path.restored?()
        }
        path.lost?()
        return true
    }

    private func linkDown(_ path: SimulatedPath) -> Bool {
        path.cuts += 1
        path.isRefusing = true
        trouble(path, random.duration(.milliseconds(20) ... .seconds(2)), "has no carrier") {
            path.cuts -= 1
            path.isRefusing = false
            path.restored?()
        }
        if path.server == nil { path.lost?() }
        return true
    }

    private func flap(_ path: SimulatedPath) -> Bool {
        var at = Duration.zero
        for _ in 0...random.below(5) {
            let down = random.duration(.milliseconds(10) ... .milliseconds(400))
            ongoing += 1
            note(at: now + at) { [self] in
                ongoing -= 1
                _ = cut(path, for: down...down)
            }
            at = at + down + random.duration(.milliseconds(10) ... .milliseconds(400))
        }
        return true
    }

    // MARK: - Servers of SoupBinTCP

    private func server(_ fault: Fault, _ server: SoupServer, _ path: SimulatedPath) -> Bool {
        let length = random.duration(.milliseconds(100) ... .seconds(4))
        switch fault {
        case .halfOpen:
            server.sever()
            trouble(path, .milliseconds(1), "is half open") {}
        case .serverFrozen:
            server.frozen += 1
            trouble(path, length, "has a frozen server") {
                server.frozen -= 1
                server.thaws()
            }
        case .loginRejected:
            server.rejecting += 1
            trouble(path, length, "rejects logins") { server.rejecting -= 1 }
        case .loginUnanswered:
            server.deaf += 1
            trouble(path, length, "does not answer logins") { server.deaf -= 1 }
        case .serverRestarted:
            server.hasForgotten = random.chance(0.5)
            return disconnect(path)
        default:
            server.willSpoil = true
            trouble(path, .milliseconds(1), "is to say what is no packet") {}
        }
        return true
    }

    // MARK: - Gap Request Proxies

    private func proxy(_ fault: Fault, _ feed: FeedOfWorld) -> Bool {
        guard !feed.proxies.isEmpty else { return false }
        let proxy = random.element(of: feed.proxies)
        let length = random.duration(.milliseconds(100) ... .seconds(4))
        func lasts(_ what: String, _ end: @escaping () -> Void) {
            trace.say(now, proxy.name, "FAULT \(what), for \(length.inMilliseconds) ms")
            self.lasts(length, end)
        }
        switch fault {
        case .proxyGone:
            guard !proxy.isRefusing else { return false }
            (proxy.isRefusing, proxy.isInUse) = (true, random.chance(0.3))
            lasts("hangs up") { proxy.isRefusing = false }
            proxy.hangUp?()
        case .proxyRefuses:
            guard proxy.refusal == nil else { return false }
            let refusal: GapResponse.Status = random.element(of: [
                .outOfRange, .outOfRange, .outOfRange, .secondQuota, .minuteQuota, .dayQuota, .count,
                .invalidUnit, .unitUnavailable,
                .other(0x58),
            ])
            proxy.refusal = refusal
            lasts("answers with \(refusal)") { proxy.refusal = nil }
        case .proxySlow:
            let extra = random.duration(.milliseconds(10) ... .milliseconds(300))
            proxy.extraDelay = proxy.extraDelay + extra
            lasts("answers \(extra.inMilliseconds) ms later") { proxy.extraDelay = proxy.extraDelay - extra }
        default:
            let ratio = random.ratio(0.1...0.9)
            feed.gapLoss += ratio
            lasts("sends what loses \(Int(ratio * 100)) %") { feed.gapLoss -= ratio }
        }
        return true
    }

    // MARK: - Venues

    /// One path says something else than the venue sent, under the same numbers.
    private func lie(_ feed: FeedOfWorld, _ path: SimulatedPath) -> Bool {
        guard feed.venue.isNumberedPerTopic, path.upstream == nil, !feed.mayDistrust(at: now) else {
            return false
        }
        let length = random.duration(.milliseconds(50) ... .seconds(4))
        // Only who is let alone finds the liar out in time.
        if random.chance(0.5) { feed.leftAloneUntil = now + length }
        (feed.liar, path.isLying) = ((path, now), true)
        trouble(path, length, "says something else") { [self] in
            (feed.liar, feed.liedAt, path.isLying) = (nil, now, false)
        }
        return true
    }

    private func freeze(_ feed: FeedOfWorld) -> Bool {
        guard !feed.venue.isFrozen else { return false }
        let length = random.duration(.milliseconds(100) ... .seconds(4))
        trace.say(now, feed.options.name, "FAULT the venue freezes for \(length.inMilliseconds) ms")
        feed.venue.isFrozen = true
        lasts(length) { [self] in
            trace.say(now, feed.options.name, "the venue goes on")
            feed.venue.isFrozen = false
            feed.disturbedAt = now
            for path in feed.paths { path.server?.thaws() }
        }
        return true
    }

    private func roll(_ feed: FeedOfWorld) -> Bool {
        guard feed.venue.namesSessions, !feed.venue.isFrozen, !feed.venue.hasEnded else { return false }
        let pause = random.chance(0.5) ? Duration.zero : random.duration(.milliseconds(50) ... .seconds(2))
        trace.say(now, feed.options.name, "FAULT the session ends after \(feed.venue.sent) messages")
        if pause > .zero {
            feed.venue.endSession()
            feed.send(.endOfSession, at: now)
        }
        lasts(pause) { [self] in
            feed.venue.beginSession()
            feed.disturbedAt = now
            trace.say(now, feed.options.name, "session \(feed.venue.current.session) begins")
            sayDirectory(feed)
        }
        return true
    }

    private func deafen(_ feed: FeedOfWorld) -> Bool {
        guard !feed.options.recover.servers.isEmpty else { return false }
        let length = random.duration(.milliseconds(100) ... .seconds(4))
        trace.say(
            now, feed.options.name, "FAULT its re-request servers are deaf for \(length.inMilliseconds) ms")
        feed.deafServers += 1
        lasts(length) { feed.deafServers -= 1 }
        return true
    }

    /// Old numbers again, in the same session: told apart by what follows, if it is left alone, or by the venue's word.
    private func reset(_ feed: FeedOfWorld) -> Bool {
        guard feed.venue.kind == .itch || !feed.venue.namesSessions, feed.options.recover.servers.isEmpty,
            feed.venue.current.messages.count > 600,
            !feed.venue.current.isReset,
            feed.paths.allSatisfy({ $0.soundSince.map { now - $0 > .milliseconds(300) } ?? false }),
            !feed.venue.isFrozen, !feed.venue.hasEnded,
            // Who has just begun takes them for what was sent before.
            let since = gateway.startedAt, now - since > .seconds(2)
        else { return false }
        trace.say(
            now, feed.options.name,
            "FAULT the sequence begins again after \(feed.venue.current.messages.count)")
        feed.venue.resetSequence()
        if let word = feed.venue.resetMessage(at: now) { feed.send(.messages([word]), at: now) }
        feed.disturbedAt = now
        feed.leftAloneUntil = now + .seconds(3)
        lasts(.seconds(3)) {}
        return true
    }

    // MARK: - Disks

    private func spoilDisk(_ feed: FeedOfWorld, isFull: Bool) -> Bool {
        guard feed.options.journal else { return false }
        let length = random.duration(.milliseconds(20) ... .seconds(3))
        trace.say(
            now, feed.options.name,
            "FAULT the journal's disk is \(isFull ? "full" : "slow") for \(length.inMilliseconds) ms")
        guard isFull else {
            feed.disk.slowUntil = max(feed.disk.slowUntil, now + length)
            lasts(length) {}
            return true
        }
        feed.disk.isFull += 1
        lasts(length) { feed.disk.isFull -= 1 }
        return true
    }

    // MARK: - Agents and operators

    private func alarm(_ path: SimulatedPath, isTrue: Bool) -> Bool {
        guard !agents.contains(where: { $0.subject == path.subject }) else { return false }
        let length = random.duration(.milliseconds(50) ... .seconds(3))
        let happened = now
        agents.append((path.subject, .critical, happened))
        func isOver() {
            agents.removeAll { $0.subject == path.subject }
            tell(path, .ok, nil)
        }
        if isTrue {
            path.cuts += 1
            trouble(path, length, "is dead, and the agent says so") { [self] in
                path.cuts -= 1
                tellLoss(path)
                isOver()
            }
        } else {
            // What it brings refutes the agent: the path is as good as it was.
            trace.say(
                now, path.place,
                "FAULT is called dead by the agent, falsely, for \(length.inMilliseconds) ms")
            path.isCalledDead = true
            lasts(length) {
                path.isCalledDead = false
                isOver()
            }
        }
        let knows = random.chance(0.7)
        note(at: now + random.duration(.zero ... .milliseconds(100))) { [self] in
            guard agents.contains(where: { $0.subject == path.subject }) else { return }
            tell(path, .critical, knows ? happened : nil)
        }
        return true
    }

    private func tell(_ path: SimulatedPath, _ status: Status, _ happened: Instant?) {
        for feed in gateway.feeds { feed.health(path.subject, status, happenedAt: happened) }
    }

    private func steer(_ feed: FeedOfWorld, _ path: SimulatedPath, _ fault: Fault) -> Bool {
        guard let running = gateway.feeds.first(where: { $0.options.name == feed.options.name }) else {
            return false
        }
        switch fault {
        case .mute:
            trace.say(now, path.place, "FAULT \(path.subject) is muted by an operator")
            running.steer { try? $0.mute(path.subject, until: $1 + .seconds(2), at: $1, wall: $2) }
            return true
        default: break
        }
        guard feed.options.policy == .hotWarm, !feed.isHeld else { return false }
        let isHeld = fault == .hold
        trace.say(now, path.place, "FAULT an operator \(isHeld ? "holds" : "moves") the feed there")
        running.steer { try? $0.switchTo(path.index, hold: isHeld, at: $1, wall: $2) }
        feed.disturbedAt = now
        guard isHeld else { return true }
        feed.isHeld = true
        lasts(random.duration(.milliseconds(100) ... .seconds(3))) { [self] in
            feed.isHeld = false
            feed.disturbedAt = now
            gateway.feeds.first { $0.options.name == feed.options.name }?.steer {
                _ = $0.release(at: $1, wall: $2)
            }
        }
        return true
    }

    // MARK: - Clients and the gateway

    private func client(_ fault: Fault, _ feed: FeedOfWorld) -> Bool {
        let client = random.element(of: clients)
        switch fault {
        case .slowClient:
            let length = random.duration(.milliseconds(50) ... .seconds(2))
            trace.say(now, "client \(client.number)", "FAULT does not read for \(length.inMilliseconds) ms")
            client.pausedUntil = max(client.pausedUntil, now + length)
            lasts(length) {}
        case .clientGone:
            guard client.connection != nil else { return false }
            trace.say(now, "client \(client.number)", "FAULT is cut off")
            client.disconnect()
        default: return changeMind(feed)
        }
        return true
    }

    private func changeMind(_ feed: FeedOfWorld) -> Bool {
        guard let wanderer = clients.first(where: \.habit.wanders) else { return false }
        let topic = topic(random.below(feed.venue.instruments.count), of: feed)
        let gives = wanderer.wants.contains(topic)
        trace.say(now, "client \(wanderer.number)", "FAULT \(gives ? "gives up" : "wants") \(topic)")
        gives ? wanderer.unsubscribe(topic) : wanderer.subscribe(topic)
        return true
    }

    /// Who comes anew cannot tell numbers that began again within a session from the ones before, unless its journal
    /// has them.
    private func survivesRestart(_ feed: FeedOfWorld) -> Bool {
        guard feed.venue.current.isReset else { return true }
        guard !feed.venue.namesSessions, let memory = feed.disks.values.first?.memory else { return false }
        return memory.epoch != feed.venue.current.sessionEpoch && memory.last > 0
    }

    private func killGateway() -> Bool {
        guard gateway.isRunning, feeds.allSatisfy({ $0.leftAloneUntil <= now && survivesRestart($0) }) else {
            return false
        }
        gateway.kill()
        startAgain(after: random.duration(.milliseconds(20) ... .milliseconds(1500)))
        return true
    }

    /// The process is stopped, or the host that it is on, and all others go on.
    private func stopGateway() -> Bool {
        guard gateway.presentSince != nil, feeds.allSatisfy({ $0.leftAloneUntil <= now }) else {
            return false
        }
        let most = random.element(of: [Duration.milliseconds(500), .seconds(5)])
        let length = random.duration(.milliseconds(100)...most)
        trace.say(now, "gateway", "FAULT does not run for \(length.inMilliseconds) ms")
        gateway.stop()
        lasts(length) { [self, since = now, run = gateway.runs] in
            // It may have been killed meanwhile.
            guard gateway.isRunning, gateway.runs == run else { return }
            for feed in feeds { feed.gatewayRunsAgain(awaySince: since, at: now) }
            gateway.loop.goOn()
        }
        return true
    }

    private func startAgain(after pause: Duration) {
        lasts(pause) { [self] in
            // A feed whose numbers began again is not opened before its journal can be read.
            guard feeds.allSatisfy({ !$0.venue.current.isReset || $0.disk.isReady(at: now) }) else {
                return startAgain(after: .milliseconds(50))
            }
            checker.gatewayStarted()
            gateway.start()
            for feed in feeds { feed.disturbedAt = now }
            note(at: now + .milliseconds(30)) { [self] in
                for agent in agents {
                    for feed in gateway.feeds {
                        feed.health(agent.subject, agent.status, happenedAt: agent.since)
                    }
                }
            }
        }
    }
}
