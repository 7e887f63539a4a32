// Daemons stay away from processors that are set apart.
import Basics
import Glibc
import Linux
import Testing

@testable import Daemon

@Suite(.serialized) struct HousekeepingTests {
    @Test func `processors that are set apart are left, by either list`() {
        func plan(_ allowed: [Int], _ isolated: [Int], _ tickless: [Int]) -> Housekeeping.Plan {
            Housekeeping.plan(
                allowed: CPUList(allowed), isolated: CPUList(isolated), tickless: CPUList(tickless))
        }
        #expect(plan([0, 1, 2, 3], [], []) == .stay)
        #expect(plan([0, 1], [2, 3], []) == .stay)
        #expect(plan([0, 1, 2, 3], [2], [3]) == .move(CPUList([0, 1])))
        #expect(plan([2, 3], [2], [3]) == .nowhere(CPUList([2, 3])))
    }

    @Test func `the thread moves, and its list is read back`() throws {
        let before = try Affinity.current()
        defer { try? Affinity.set(before) }
        guard before.count > 1, let last = before.numbers.last else { return }
        var template = Array("/tmp/holdfast-cpu-XXXXXX".utf8CString)
        let folder = try #require(mkdtemp(&template).map { String(cString: $0) })
        defer {
            for name in ["isolated", "nohz_full"] { unlink("\(folder)/\(name)") }
            rmdir(folder)
        }
        func put(_ text: String, _ name: String) throws {
            try Files.write(
                Array(text.utf8), to: "\(folder)/\(name)", .init(mode: 0o600), replacing: true, durably: false
            )
        }
        #expect(Housekeeping.leaveIsolatedProcessors(folder) == nil)
        #expect(try Affinity.current() == before)
        try put("\(last)\n", "isolated")
        try put("(null)\n", "nohz_full")
        #expect(Housekeeping.leaveIsolatedProcessors(folder) == nil)
        #expect(try Affinity.current() == before.without(CPUList([last])))
        try Affinity.set(before)
        try put("\(before)\n", "isolated")
        #expect(Housekeeping.leaveIsolatedProcessors(folder)?.contains("there is no other") == true)
        #expect(try Affinity.current() == before)
    }
}
