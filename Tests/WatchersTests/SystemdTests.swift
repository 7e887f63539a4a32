// The link to systemd where there is none: no bus, and a bus that never says a word. The loop goes on.
import Basics
import Configuration
import Glibc
import Linux
import Logging
import Reactor
import Testing
import Wire

@testable import Watchers

@Suite(.serialized) struct SystemdTests {
    private final class Bench {
        let loop: EventLoop
        var reports: [String] = []
        private(set) var watcher: UnitWatcher?

        init(_ address: String, _ names: [String]) throws {
            loop = try EventLoop()
            var options = AgentOptions()
            options.unit.watched = names.map { UnitWatchOptions(name: $0) }
            var roots = FileRoots()
            roots.systemBus = address
            let context = try WatcherContext(
                loop: loop, worker: Worker(loop), logger: Logger(label: "test"), roots: roots,
                report: { [unowned self] in reports.append("\($0.subject) \($0.status): \($0.reason)") },
                sample: { _ in }, forget: { [unowned self] in reports.append("forgotten: \($0)") })
            watcher = try UnitWatcher(context, options)
            watcher?.start()
        }

        func wait(for report: String) throws -> Bool {
            for _ in 0..<4000 where !reports.contains(report) { try loop.step(atMost: .milliseconds(5)) }
            return reports.contains(report)
        }
    }

    @Test func `without a bus a watched unit is unknown, and says why`() throws {
        let path = "/tmp/holdfast-no-bus-\(getpid())"
        let bench = try Bench("unix:path=\(path)", ["a.service"])
        let words = "no message bus: connect unix:path=\(path): No such file or directory"
        #expect(try bench.wait(for: "unit/a.service unknown: \(words)"))
    }

    @Test func `without a bus and without a watched unit nothing is told`() throws {
        let bench = try Bench("unix:path=/tmp/holdfast-no-bus-\(getpid())", [])
        for _ in 0..<10 { try bench.loop.step(atMost: .milliseconds(5)) }
        #expect(bench.reports == [])
    }

    @Test func `a bus that never answers is given up, and the loop does not wait for it`() throws {
        let path = "/tmp/holdfast-silent-bus-\(getpid())"
        let listener = try silentListener(path)
        defer { unsafe unlink(path) }
        let bench = try Bench("unix:path=\(path)", ["a.service"])
        let words = "unit/a.service unknown: the message bus does not answer within 5.0 s"
        #expect(try bench.wait(for: words))
        _ = listener.raw
    }

    @Test func `an address that makes no sense is told`() throws {
        let bench = try Bench("nonsense", ["a.service"])
        #expect(bench.reports.last?.hasPrefix("unit/a.service unknown: no message bus: ") == true)
    }

    private func silentListener(_ path: String) throws -> Descriptor {
        let raw = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard raw >= 0 else { throw SystemError("socket", number: errno) }
        let descriptor = Descriptor(owning: raw)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
        let size = socklen_t(MemoryLayout<sockaddr_un>.size)
        let result = unsafe withUnsafePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe bind(raw, $0, size) }
        }
        guard result == 0, listen(raw, 4) == 0 else { throw SystemError("bind \(path)", number: errno) }
        return descriptor
    }
}
