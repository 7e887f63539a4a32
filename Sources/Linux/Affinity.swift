// On which processors this thread, and those that it starts, may run.
public import Basics
import CLinux
import Glibc

/// The processors of the calling thread; threads and programs that it starts later inherit them.
public enum Affinity {
    public static func current() throws(SystemError) -> CPUList {
        var mask = [UInt8](repeating: 0, count: CPUList.most / 8)
        let count = try check("sched_getaffinity") { unsafe clinux_get_affinity(&mask, mask.count) }
        return CPUList(
            mask.prefix(Int(count)).enumerated().flatMap { index, byte in
                (0..<8).filter { byte >> UInt8($0) & 1 == 1 }.map { index * 8 + $0 }
            })
    }

    /// - Throws: EINVAL when none of them can be used; EPERM where a sandbox forbids it.
    public static func set(_ list: CPUList) throws(SystemError) {
        var mask = [UInt8](repeating: 0, count: CPUList.most / 8)
        for number in list.numbers { mask[number / 8] |= 1 << UInt8(number % 8) }
        try check("sched_setaffinity \(list)") { unsafe clinux_set_affinity(mask, mask.count) }
    }
}
