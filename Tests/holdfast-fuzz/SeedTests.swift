// What the targets begin with, without libFuzzer: some of it is sound, and none of it is what a planted mistake looks for.
import Testing

@Suite struct SeedTests {
    @Test(arguments: FuzzTarget.all.map(\.name))
    func `a target has seeds, and takes them without meeting the planted mistake`(name: String) throws {
        let target = try #require(FuzzTarget.all.first { $0.name == name })
        let seeds = target.seeds()
        #expect(seeds.contains { (try? target.read($0)) != nil })
        for seed in seeds { #expect(!FuzzTarget.meetsPlanted(target.decode(seed))) }
    }

    @Test func `each target has a name of its own`() {
        #expect(Set(FuzzTarget.all.map(\.name)).count == FuzzTarget.all.count)
    }
}
