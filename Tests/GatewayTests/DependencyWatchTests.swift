// What paths depend on and no agent tells of, as a dialogue.
import Basics
import Testing
import Wire

@testable import Gateway

@Suite struct DependencyWatchTests {
    private let nic = Dependency(Subject(.nic, "eth0"), of: "far")
    private let path = Dependency(Subject(.path, "isp-a"))

    private func s(_ seconds: Int64) -> Instant { Instant(nanoseconds: seconds * 1_000_000_000) }

    @Test func `what nobody tells of for ten seconds is untold, until somebody does`() {
        var watch = DependencyWatch()
        func look(_ missing: Set<Dependency>, _ seconds: Int64) -> Set<Dependency> {
            watch.look(missing, at: s(seconds))
            return watch.untold
        }
        #expect(look([nic], 100) == [])
        #expect(look([nic, path], 109) == [])
        #expect(look([nic, path], 110) == [nic])
        #expect(look([nic, path], 119) == [nic, path])
        #expect(look([path], 120) == [path])
        // It has as long again.
        #expect(look([nic, path], 121) == [path])
        #expect(look([nic], 130) == [])
        #expect(look([nic], 131) == [nic])
        #expect(look([], 132) == [])
    }
}
