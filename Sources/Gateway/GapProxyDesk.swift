// What a PITCH feed may ask of Cboe's Gap Request Proxies, and what their answers mean to it. The connections, and what
// comes by multicast, are the shell's.
package import Arbitration
package import Basics
package import Configuration
package import FeedProtocols

/// Keeps a feed's requests within the venue's quota.
package struct GapProxyDesk {
    /// What was asked of late, of all proxies together.
    private(set) var quota: RequestQuota

    /// - Parameter earlier: what was asked under other options.
    package init(_ options: RecoverOptions, after earlier: RequestQuota? = nil) {
        quota = RequestQuota(
            second: options.requestsPerSecond, minute: options.requestsPerMinute, day: options.requestsPerDay)
        if let earlier { quota.follow(earlier) }
    }

    /// Whether a request may go to a proxy now; `.sent`: it may, and `sent` is to be told when it has gone.
    package mutating func ask(_ proxy: inout GapProxyMachine, at now: Instant) -> AskOutcome {
        let allowed = quota.nextAllowed(at: now)
        guard allowed <= now else { return .notBefore(allowed) }
        return switch proxy.ask(at: now) {
        case .unreachable: .failed
        case .notBefore(let end): .notBefore(end)
        case .now: .sent
        }
    }

    package mutating func sent(at now: Instant) { quota.count(at: now) }
}

extension GapProxyMachine {
    /// The server says each second that it lives. A connection that is half open is given up before the kernel does:
    /// it waits for what was sent after the cut.
    package static let deadAfter: Duration = .milliseconds(1400)

    /// - Parameter seed: keeps clients that were refused together apart.
    package init(_ login: VenueLogin, seed: UInt64 = .random(in: .min ... .max)) {
        var times = LoginTimes(deadAfter: GapProxyMachine.deadAfter)
        times.seed = seed
        let login = GapProxyLogin(session: login.session ?? "", user: login.user, password: login.password)
        self.init(GapProxyDialect(login), times)
    }
}

extension RequestRejection {
    /// `nil`: the request is served.
    package init?(_ response: GapResponse) {
        guard let reason = response.status.rejection else { return nil }
        self.init(
            channel: UInt16(response.request.unit), first: UInt64(response.request.first),
            count: UInt64(response.request.count), reason: reason, isFinal: response.status.isFinal)
    }
}

extension GapResponse.Status {
    /// As it is counted and told; `nil`: the request is served.
    var rejection: String? {
        switch self {
        case .accepted: nil
        case .outOfRange: "out-of-range"
        case .dayQuota: "day-quota"
        case .minuteQuota: "minute-quota"
        case .secondQuota: "second-quota"
        case .count: "count"
        case .invalidUnit: "invalid-unit"
        case .unitUnavailable: "unit-unavailable"
        case .other: "other"
        }
    }

    /// The same request would be refused again.
    var isFinal: Bool {
        switch self {
        case .outOfRange, .count, .invalidUnit: true
        case .accepted, .dayQuota, .minuteQuota, .secondQuota, .unitUnavailable, .other: false
        }
    }
}
