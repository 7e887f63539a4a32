// `holdfast-fuzz TARGET [libFuzzer's options]`: one decoder under libFuzzer. Built by `Tests/fuzz` only, since plain
// builds have no coverage to steer by.
import CFuzzer
import Glibc

nonisolated(unsafe) private var chosen: FuzzTarget?
/// A mistake just behind the decoder, to see that it is found.
nonisolated(unsafe) private var isPlanted = false

private func usage() -> Never {
    print("Usage: holdfast-fuzz --list | --seeds FOLDER | TARGET [libFuzzer's options]")
    exit(64)
}

private func writeSeeds(below folder: String) {
    for target in FuzzTarget.all {
        let own = "\(folder)/\(target.name)"
        mkdir(own, 0o755)
        for (number, seed) in target.seeds().enumerated() {
            guard let file = fopen("\(own)/seed-\(number)", "w") else { continue }
            fwrite(seed, 1, seed.count, file)
            fclose(file)
        }
    }
}

private func run(_ target: FuzzTarget, _ options: [String]) -> Int32 {
    chosen = target
    isPlanted = getenv("HOLDFAST_FUZZ_PLANT") != nil
    var count = Int32(options.count + 1)
    var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? =
        UnsafeMutablePointer.allocate(capacity: options.count + 2)
    arguments?[0] = strdup("holdfast-fuzz")
    for (index, option) in options.enumerated() { arguments?[index + 1] = strdup(option) }
    arguments?[options.count + 1] = nil
    return LLVMFuzzerRunDriver(&count, &arguments) { bytes, size in
        guard let chosen else { return 0 }
        let facts = chosen.decode(Array(UnsafeBufferPointer(start: bytes, count: size)))
        if isPlanted, FuzzTarget.meetsPlanted(facts) { fatalError("the planted mistake is found") }
        return 0
    }
}

private let arguments = Array(CommandLine.arguments.dropFirst())
switch arguments.first {
case "--list": for target in FuzzTarget.all { print(target.name) }
case "--seeds" where arguments.count == 2: writeSeeds(below: arguments[1])
case let name?:
    guard let target = FuzzTarget.all.first(where: { $0.name == name }) else { usage() }
    exit(run(target, Array(arguments.dropFirst())))
case nil: usage()
}
