// The host's systemd on the message bus, shared by all watchers that ask it something. It connects when the first of
// them wants it, again when the bus or systemd comes back, and never waits for an answer.
import Basics
public import Linux
public import Reactor

/// What a follower of systemd is told.
public enum SystemdNews: Hashable, Sendable {
    /// It answers: whatever was known before is to be asked for anew.
    case up
    /// It cannot be asked, and why.
    case lost(String)
    /// It has read its units' files again.
    case reloaded
}

/// The connection to systemd.
public final class SystemdLink {
    private static let name = "org.freedesktop.systemd1"
    private static let root = "/org/freedesktop/systemd1"
    static let manager = "org.freedesktop.systemd1.Manager"
    static let unit = "org.freedesktop.systemd1.Unit"
    static let service = "org.freedesktop.systemd1.Service"
    private static let properties = "org.freedesktop.DBus.Properties"

    /// Without an answer for so long a call has failed.
    private static let callLimit: Duration = .seconds(5)
    private static let firstPause: Duration = .milliseconds(100)
    private static let longestPause: Duration = .seconds(5)
    /// A bus that never was there is looked for this seldom.
    private static let absentPause: Duration = .seconds(30)

    private let loop: EventLoop
    private let address: String
    private var followers: [(SystemdNews) -> Void] = []
    private var bus: SystemBus?
    private var matches: [BusMatch] = []
    /// Connections that are over. They are let go of when none of their callbacks is under way.
    private var discarded: [SystemBus] = []
    private var disposal: DeferredSource?
    private var timer: Timer?
    private var isConnecting = false
    /// Tells an event of an earlier connection.
    private var attempt = 0
    private var pause = SystemdLink.firstPause
    /// systemd's own name on the bus: signals of anybody else are not its.
    private var owner: String?
    /// It reads its units' files again: it says that each is gone, and new, before it says how each is.
    private var isReloading = false
    /// Whether it answers.
    public private(set) var isUp = false
    /// Whether it has answered since the agent's start.
    public private(set) var wasUp = false
    /// Signals that were heard: the measure of how narrow the rules are.
    public private(set) var signals: UInt64 = 0

    /// - Parameter address: of the bus, `unix:path=/run/dbus/system_bus_socket`.
    public init(_ loop: EventLoop, address: String) throws(SystemError) {
        self.loop = loop
        self.address = address
        disposal = try DeferredSource(loop) { [unowned self] in discarded = [] }
        timer = try Timer(loop, accuracy: .milliseconds(20)) { [unowned self] in due() }
    }

    /// Tells `follower` of it from now on; connects if nobody has wanted it before.
    public func follow(_ follower: @escaping (SystemdNews) -> Void) {
        followers.append(follower)
        if isUp { return follower(.up) }
        if bus == nil, !isConnecting, followers.count == 1 { connect() }
    }

    // MARK: - Connecting

    private func connect() {
        attempt += 1
        let number = attempt
        isConnecting = true
        do throws(SystemError) {
            bus = try SystemBus(loop, address: address) { [unowned self] event in
                guard attempt == number else { return }
                switch event {
                case .connected: connected()
                case .closed(let reason): lost("the message bus: \(reason)")
                }
            }
            timer?.arm(at: loop.now + SystemdLink.callLimit)
        } catch {
            lost("no message bus: \(error)")
        }
    }

    private func due() {
        guard isConnecting else { return connect() }
        lost("the message bus does not answer within \(seconds(SystemdLink.callLimit))")
    }

    private func connected() {
        do throws(SystemError) {
            try matchOwner()
            try matchReloading()
        } catch {
            return lost("the message bus: \(error)")
        }
        subscribe()
    }

    /// systemd sends signals of units to the bus once somebody has asked for them.
    private func subscribe() {
        let number = attempt
        call(SystemdLink.manager, "Subscribe") { [unowned self] result in
            // A bus that was given up may still have it.
            guard attempt == number else { return }
            switch result {
            case .success(let reply):
                owner = reply.sender ?? owner
                answered()
            // It remembers us from before it was executed anew.
            case .failure(let failure) where failure.name.hasSuffix(".AlreadySubscribed") && owner != nil:
                answered()
            case .failure(let failure): lost("systemd: \(failure)")
            }
        }
    }

    private func answered() {
        timer?.disarm()
        isConnecting = false
        isUp = true
        isReloading = false
        wasUp = true
        pause = SystemdLink.firstPause
        tell(.up)
    }

    private func lost(_ reason: String) {
        attempt += 1
        isUp = false
        isConnecting = false
        owner = nil
        matches = []
        if let bus { discarded.append(bus) }
        bus = nil
        disposal?.arm()
        timer?.arm(at: loop.now + nextPause())
        tell(.lost(reason))
    }

    private func nextPause() -> Duration {
        guard wasUp else { return SystemdLink.absentPause }
        defer { pause = min(pause * 2, SystemdLink.longestPause) }
        return pause
    }

    private func tell(_ news: SystemdNews) { for follower in followers { follower(news) } }

    // MARK: - Signals

    private func matchOwner() throws(SystemError) {
        let bus = "org.freedesktop.DBus"
        let rule =
            "type='signal',sender='\(bus)',path='/org/freedesktop/DBus',interface='\(bus)',"
            + "member='NameOwnerChanged',arg0='\(SystemdLink.name)'"
        try match(rule) { [unowned self] message in
            guard message.sender == bus, message.text() != nil, message.text() != nil,
                let new = message.text()
            else { return }
            guard !new.isEmpty else { return lost("systemd has left the message bus") }
            owner = new
            subscribe()
        }
    }

    private func matchReloading() throws(SystemError) {
        let match = try signals(
            "path='\(SystemdLink.root)',interface='\(SystemdLink.manager)',member='Reloading'",
            whileReloading: true
        ) { [unowned self] message in
            // Once at its beginning with 1, once at its end with 0.
            isReloading = message.integer() != 0
            if !isReloading, isUp { tell(.reloaded) }
        }
        if let match { matches.append(match) }
    }

    private func match(_ rule: String, _ onSignal: @escaping (BusMessage) -> Void) throws(SystemError) {
        if let match = try bus?.match(rule, onSignal) { matches.append(match) }
    }

    /// Hears signals of systemd itself, of whoever else sends the like never; `nil`: there is no bus.
    ///
    /// - Parameter isTold: whether they are told also while systemd reads its units' files again.
    func signals(
        _ rule: String, whileReloading isTold: Bool = false, _ onSignal: @escaping (BusMessage) -> Void
    ) throws(SystemError) -> BusMatch? {
        try bus?.match("type='signal',sender='\(SystemdLink.name)'," + rule) { [unowned self] message in
            signals &+= 1
            guard let owner, message.sender == owner, isTold || !isReloading else { return }
            onSignal(message)
        }
    }

    /// Rules for the signals of one unit's object.
    static func changes(of unit: String) -> String? {
        path(of: unit).map { "path='\($0)',interface='\(properties)',member='PropertiesChanged'" }
    }

    /// The rule for changes of systemd's own properties: how many units have failed is the one that changes.
    static let managerChanges =
        "path='\(root)',interface='\(properties)',member='PropertiesChanged',arg0='\(manager)'"

    private static func path(of unit: String) -> String? { SystemBus.path(root + "/unit", unit) }
}

// MARK: - Questions

extension SystemdLink {
    private func call(
        _ interface: String, _ member: String, path: String = SystemdLink.root,
        _ arguments: [BusCall.Argument] = [], then: @escaping (Result<BusMessage, BusFailure>) -> Void
    ) {
        let call = BusCall(
            to: SystemdLink.name, path: path, interface: interface, member: member, arguments)
        guard let bus else { return then(.failure(BusFailure(name: "disconnected", text: "no message bus"))) }
        do throws(SystemError) {
            try bus.call(call, limit: SystemdLink.callLimit, then: then)
        } catch {
            then(.failure(BusFailure(name: "failed", text: "\(error)")))
        }
    }

    /// All that is wanted of a unit, which systemd loads for it if need be.
    func ask(_ unit: String, then: @escaping (Result<UnitReading, BusFailure>) -> Void) {
        guard let path = SystemdLink.path(of: unit) else { return }
        var reading = UnitReading()
        // The service's properties first: replies come in the order of the questions, and the unit's is the last.
        if unit.hasSuffix(".service") {
            all(SystemdLink.service, path) { result in
                guard case .success(let reply) = result else { return }
                reading.take(reply.properties(UnitReading.serviceProperties))
            }
        }
        all(SystemdLink.unit, path) { result in
            then(
                result.map { reply in
                    reading.take(reply.properties(UnitReading.unitProperties))
                    return reading
                })
        }
    }

    private func all(
        _ interface: String, _ path: String, then: @escaping (Result<BusMessage, BusFailure>) -> Void
    ) {
        call(SystemdLink.properties, "GetAll", path: path, [.text(interface)], then: then)
    }

    /// Whether systemd has the unit in memory, without loading it.
    func isLoaded(_ unit: String, then: @escaping (Bool) -> Void) {
        call(SystemdLink.manager, "GetUnit", [.text(unit)]) { result in
            if case .success = result { then(true) } else { then(false) }
        }
    }

    /// The names of all units that have failed, at most 1,000.
    func failedUnits(then: @escaping (Result<[String], BusFailure>) -> Void) {
        call(SystemdLink.manager, "ListUnitsFiltered", [.texts(["failed"])]) { result in
            then(result.map { SystemdLink.names($0) })
        }
    }

    private static func names(_ reply: BusMessage) -> [String] {
        let entry = "ssssssouso"
        var names: [String] = []
        guard reply.enter("a", "(\(entry))") else { return [] }
        while names.count < 1000, reply.enter("r", entry) {
            if let name = reply.text() { names.append(name) }
            reply.leave()
        }
        return names
    }

    /// How a unit's main process ended, if it was the one with this number; `nil`: systemd does not know it (any
    /// more).
    func exit(ofMain pid: Int32, _ unit: String, tries: Int = 3, then: @escaping (ProcessEnd?) -> Void) {
        ask(unit) { [weak self] result in
            guard case .success(let reading) = result, reading.lastPID == Int64(pid) else { return then(nil) }
            if reading.lastCode != 0 { return then(ProcessEnd(reading)) }
            // systemd has not waited for it yet.
            guard tries > 1, let self else { return then(nil) }
            exit(ofMain: pid, unit, tries: tries - 1, then: then)
        }
    }
}

extension ProcessEnd {
    /// How the main process of a service ended.
    fileprivate init(_ reading: UnitReading) {
        let status = Int32(clamping: reading.lastStatus)
        switch reading.lastCode {
        case _ where reading.result == "oom-kill": self = .outOfMemory
        case 1: self = .exited(status)
        case 2, 3: self = .killed(signal: status)
        default: self = .unknown
        }
    }
}
