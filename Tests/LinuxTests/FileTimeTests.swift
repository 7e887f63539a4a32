// Times of files that somebody set.
import Basics
import CLinux
import Glibc
import Testing

@testable import Linux

@Suite struct FileTimeTests {
    @Test(arguments: [(Int.max, 1), (Int.min, -1), (10_413_792_000, 1), (-11_676_096_000, -1)])
    func `a time that 64 bits of nanoseconds do not hold is a far one`(seconds: Int, sign: Int) {
        let far = nanoseconds(timespec(tv_sec: seconds, tv_nsec: 999_999_999))
        #expect(far.signum() == Int64(sign) && far.magnitude > 1 << 61)
        let (_, isBeyond) = Clock.wall.nanoseconds.subtractingReportingOverflow(far)
        #expect(!isBeyond)
    }

    @Test func `a file of the year 2300 has one`() throws {
        let path = "/var/tmp/holdfast-time-\(UInt32.random(in: 0 ... .max))"
        let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        try #require(descriptor >= 0)
        defer { unlink(path) }
        let time = timespec(tv_sec: 10_413_792_000, tv_nsec: 0)
        #expect(futimens(descriptor, [time, time]) == 0)
        close(descriptor)
        let modified: Int64 = try Files.modified(path)
        #expect(modified > Clock.wall.nanoseconds)
    }

    @Test func `a file that is written has the time that it is to have from its first moment on`() throws {
        let path = "/var/tmp/holdfast-time-\(UInt32.random(in: 0 ... .max))"
        defer { unlink(path) }
        let time = WallTime(nanoseconds: 1_767_355_200_123_456_789)
        for replacing in [false, true] {
            try Files.write(
                [1], to: path, Files.Attributes(mode: 0o600, modified: time), replacing: replacing)
            #expect(Files.modified(path) == time)
        }
    }
}
