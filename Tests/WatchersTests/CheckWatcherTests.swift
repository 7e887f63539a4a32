// The shell of the checks with real programs on the real loop, of which one cannot be started.
import Basics
import Configuration
import Glibc
import Linux
import Logging
import Reactor
import Synchronization
import Testing
import Wire

@testable import Watchers

/// A disk that hangs, with a program on it.
private final class HungDisk: Sendable {
    let isAsked = Mutex(false)
    let gate = Gate()

    func start(_ command: [String], _ environment: [String], _ output: Int32) -> Result<Int32, SystemError> {
        guard command == ["/hung"] else { return CheckRun.spawnChild(command, environment, output) }
        isAsked.withLock { $0 = true }
        gate.wait()
        return CheckRun.spawnChild(["/bin/echo", "late"], environment, output)
    }
}

@Suite(.serialized) struct CheckWatcherTests {
    /// What a watcher reported, on a loop that is stepped until something holds.
    private final class Bench {
        let loop: EventLoop
        var reports: [String] = []
        private(set) var watcher: CheckWatcher?

        init(_ checks: [CheckOptions], _ disk: HungDisk) throws {
            loop = try EventLoop()
            let context = try WatcherContext(
                loop: loop, worker: Worker(loop), logger: Logger(label: "test"),
                report: { [unowned self] in
                    reports.append("\($0.subject.name) \($0.status): \($0.reason)")
                }, sample: { _ in }, forget: { _ in })
            watcher = try CheckWatcher(
                context, Bench.options(checks), spawn: { disk.start($0, $1, $2) })
            watcher?.start()
        }

        static func options(_ checks: [CheckOptions]) -> AgentOptions {
            var options = AgentOptions()
            options.checks = checks
            return options
        }

        func wait(until condition: () -> Bool) throws -> Bool {
            for _ in 0..<2000 where !condition() { try loop.step(atMost: .milliseconds(5)) }
            return condition()
        }
    }

    private func check(_ name: String, _ command: [String]) -> CheckOptions {
        var check = CheckOptions(name: name, command: command)
        (check.every, check.timeout) = (.milliseconds(50), .milliseconds(500))
        return check
    }

    @Test func `a program that cannot be started is told after its time, and holds up no other`() throws {
        let disk = HungDisk()
        defer { disk.gate.open() }
        let hung = check("hung", ["/hung"])
        var well = check("well", ["/bin/echo", "it is so"])
        well.timeout = .seconds(10)
        let bench = try Bench([hung], disk)
        #expect(try bench.wait { disk.isAsked.withLock(\.self) })
        bench.watcher?.reconfigure(Bench.options([hung, well]))
        #expect(try bench.wait { bench.reports.contains("well ok: it is so") })
        let told = "hung unknown: has no result after 0.5 s and cannot be killed"
        #expect(try bench.wait { bench.reports.contains(told) })
        // What has a result by then is late, and its turn comes again.
        disk.gate.open()
        #expect(try bench.wait { bench.reports.contains("hung ok: late") })
    }
}
