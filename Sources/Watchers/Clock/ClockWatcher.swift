// The shell of the clock: asks chronyd and the kernel at each poll, and is woken when the clock is set.
import Basics
public import Configuration
import Glibc
public import Linux
import Logging
import Messaging
import Reactor
import Wire

/// Watches the host's wall clock.
public final class ClockWatcher: Watcher {
    /// Services start and end; where nobody tells of the clock, they are looked for this often.
    private static let findEvery: Duration = .seconds(30)

    private let context: WatcherContext
    private var options: ClockOptions
    private var machine: ClockMachine?
    private var chrony: ChronyLink?
    private var pollTimer: Timer?
    private var dwellTimer: Timer?
    private var setTimer: SetTimer?
    private var setSource: IOSource?
    private var isKernelTold = false
    private var services: [String]?
    private var findServicesAt = Instant.zero

    private final class SetTimer {
        let timer: ClockSetTimer

        init() throws(SystemError) { timer = try ClockSetTimer() }
    }

    public init(_ context: WatcherContext, _ options: AgentOptions) throws(SystemError) {
        self.context = context
        self.options = options.clock
        pollTimer = try Timer(context.loop, accuracy: .milliseconds(250)) { [unowned self] in poll() }
        dwellTimer = try Timer(context.loop, accuracy: .milliseconds(100)) { [unowned self] in tick() }
    }

    public func start() { arrange() }

    public func reconfigure(_ options: AgentOptions) {
        guard options.clock != self.options else { return }
        self.options = options.clock
        stop()
        arrange()
    }

    public func sample() {
        guard let machine else { return }
        context.sample(Sample(machine.subject, machine.values))
    }

    private func stop() {
        if let machine, !options.enabled { context.forget(machine.subject) }
        machine = nil
        chrony = nil
        setSource = nil
        setTimer = nil
        pollTimer?.disarm()
        dwellTimer?.disarm()
    }

    private func arrange() {
        guard options.enabled else { return }
        var machine = ClockMachine(Subject(.clock, "system"), options)
        context.report(machine.started())
        self.machine = machine
        watchSteps()
        do throws(SystemError) {
            guard let port = UInt16(exactly: options.chronyPort), port > 0 else { return poll() }
            chrony = try ChronyLink(
                context.loop, port: port, onAnswer: { [unowned self] in answered($0) },
                onMalformed: { [unowned self] in malformed($0) })
        } catch {
            less("chronyd is not asked: \(error)")
        }
        poll()
    }

    /// Without this timer steps are seen at the next poll.
    private func watchSteps() {
        guard !context.without.clockSteps else { return }
        do throws(SystemError) {
            let made = try SetTimer()
            setSource = try IOSource(context.loop, descriptor: made.timer.descriptor.raw) { [unowned self] in
                clockWasSet()
            }
            setTimer = made
        } catch {
            less("the clock being set is seen only at the next poll: \(error)")
        }
    }

    private func less(_ what: String) {
        context.logger.event(
            .watchedWithLess, level: .info, what, ["subject": "\(Subject(.clock, "system"))"])
    }
}

// MARK: - Working

extension ClockWatcher {
    private func poll() {
        pollTimer?.arm(at: context.loop.now + options.pollEvery)
        compare(wasSet: false)
        let kernel = kernelReading()
        let stamp = kernel == nil ? stampAge() : nil
        machine?.observed(kernel: kernel, stampAge: stamp, services: services)
        if let chrony { chrony.ask() } else { answered(nil) }
    }

    private func findServices() {
        guard context.loop.now >= findServicesAt else { return }
        let roots = context.roots
        let accepted = context.worker.perform({ TimeServices.running(roots) }) { [weak self] in
            self?.services = $0
        }
        if accepted { findServicesAt = context.loop.now + ClockWatcher.findEvery }
    }

    private func kernelReading() -> KernelClockReading? {
        guard !context.without.kernelClock else { return nil }
        do throws(SystemError) {
            let clock = try KernelClock.read()
            return KernelClockReading(
                isSynchronised: clock.isSynchronised, hasFault: clock.hasFault, offset: -clock.correction,
                maximumError: clock.maximumError, estimatedError: clock.estimatedError,
                frequency: -clock.frequency, taiOffset: clock.taiOffset)
        } catch {
            if !isKernelTold {
                isKernelTold = true
                less("the kernel is not asked how the clock is: \(error); the drop-in clock.conf allows it")
            }
            return nil
        }
    }

    private func stampAge() -> Duration? {
        let path = "\(context.roots.run)/systemd/timesync/synchronized"
        return Files.modified(path).map { max(.zero, context.loop.wall - $0) }
    }

    private func answered(_ answer: ChronyAnswer?) {
        tell(machine?.answered(answer, at: context.loop.now, wall: context.loop.wall))
        if machine?.isUntold == true { findServices() }
    }

    private func clockWasSet() {
        do throws(SystemError) {
            if try setTimer?.timer.wasSet() == true { compare(wasSet: true) }
        } catch {
            setSource = nil
            setTimer = nil
            less("the clock being set is seen only at the next poll: \(error)")
        }
    }

    private func compare(wasSet: Bool) {
        let lead = WallClockLead.now()
        let compared = ClockMachine.WallLead(lead: lead.lead, uncertainty: lead.uncertainty)
        tell(machine?.compared(compared, wasSet: wasSet, at: context.loop.now))
    }

    private func tick() { tell(machine?.tick(at: context.loop.now)) }

    private func tell(_ finding: Finding??) {
        if let finding = finding ?? nil { context.report(finding) }
        dwellTimer?.arm(at: machine?.deadline)
    }

    private func malformed(_ what: String) {
        context.limited.event(
            .malformedInput, key: "chronyd", "chronyd on 127.0.0.1:\(options.chronyPort): \(what), ignoring")
    }
}
