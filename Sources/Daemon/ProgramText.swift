// Gives back the memory of program text that only the start needed: parsing the configuration touches a good
// part of the TOML library and of what it links. The kernel maps pages again as they are used, from its cache.
import Basics
import Glibc
import Linux

/// The pages of program text.
public enum ProgramText {
    /// Unmaps the pages of all program text; what runs on comes back page by page.
    public static func release(maps path: String = "/proc/self/maps") {
        guard let text = try? Files.text(path) else { return }
        for line in text.split(separator: "\n") {
            guard let (start, end) = range(of: line),
                let address = unsafe UnsafeMutableRawPointer(bitPattern: start)
            else { continue }
            // Text is never written, so that nothing is lost with its pages.
            _ = unsafe madvise(address, Int(end - start), MADV_DONTNEED)
        }
    }

    /// The range of a line that shows private, executable, unwritable pages of a file:
    /// `55d0c000-55d1d000 r-xp 00010000 08:01 4711 /usr/bin/…`.
    static func range(of line: Substring) -> (start: UInt, end: UInt)? {
        let fields = line.split(separator: " ", maxSplits: 5)
        guard fields.count == 6, fields[1] == "r-xp", fields[4] != "0" else { return nil }
        let ends = fields[0].split(separator: "-")
        guard ends.count == 2, let start = UInt(ends[0], radix: 16), let end = UInt(ends[1], radix: 16),
            start < end
        else { return nil }
        return (start, end)
    }
}
