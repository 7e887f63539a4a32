// Files that only grow: whole batches or nothing, and memory that the kernel is given back without a byte of the file.
import Basics
import Glibc
import Testing

@testable import Linux

@Suite struct AppendedFileTests {
    private static let page = 4096
    /// As large as a batch of a journal may be, so that what the kernel keeps together is small.
    private static let piece = 1 << 16
    private static let pieces = 16

    /// A file of a kind that the disk has, beside the tests.
    private func withFile(_ body: (String) throws -> Void) throws {
        let path = "/var/tmp/holdfast-appended-\(UInt32.random(in: 0 ... .max))"
        defer { try? Files.remove(path) }
        try body(path)
    }

    private func contents(_ number: Int) -> [UInt8] {
        (0..<AppendedFileTests.piece).map { UInt8(truncatingIfNeeded: $0 / 256 &+ number) }
    }

    /// Which pages of a file are in memory (mincore(2)); nothing of it is read for that.
    private func resident(_ path: String) throws -> [Bool] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        defer { close(descriptor) }
        let size = try Files.size(of: path)
        let address = try #require(mmap(nil, size, PROT_READ, MAP_SHARED, descriptor, 0))
        #expect(address != MAP_FAILED)
        defer { munmap(address, size) }
        var pages = [UInt8](repeating: 0, count: (size + AppendedFileTests.page - 1) / AppendedFileTests.page)
        #expect(mincore(address, size, &pages) == 0)
        return pages.map { $0 & 1 == 1 }
    }

    /// File systems without a device of their own, as those that are memory, may keep what they have.
    private func isOnDisk(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && (status.st_dev >> 8) & 0xFFF != 0
    }

    @Test func `memory that is let go of is the kernel's, and the file stays what it is`() throws {
        try withFile { path in
            let file = try AppendedFile(making: path, mode: 0o600)
            let size = AppendedFileTests.piece * AppendedFileTests.pieces
            for number in 0..<AppendedFileTests.pieces {
                try file.append(contents(number), at: number * AppendedFileTests.piece)
            }
            try file.sync()
            #expect(try resident(path).allSatisfy { $0 })
            file.letGo(before: size / 2)
            let pages = try resident(path)
            #expect(pages.suffix(pages.count / 2).allSatisfy { $0 })
            if isOnDisk(path) { #expect(pages.prefix(pages.count / 2).filter { $0 }.count < pages.count / 4) }
            try file.append([1, 2, 3], at: size)
            let all: [UInt8] = (0..<AppendedFileTests.pieces).flatMap { contents($0) } + [1, 2, 3]
            #expect(try Files.read(path, limit: 1 << 22) == all)
        }
    }

    @Test func `what the disk does not have yet is not let go of`() throws {
        try withFile { path in
            let file = try AppendedFile(making: path, mode: 0o600)
            try file.append(contents(7), at: 0)
            file.letGo(before: AppendedFileTests.piece)
            #expect(try Files.read(path, limit: 1 << 22) == contents(7))
        }
    }

    @Test func `where there is no room, the file is what it was`() throws {
        try withFile { path in
            let file = try AppendedFile(making: path, mode: 0o600)
            try file.append([1, 2, 3], at: 0)
            let full = try AppendedFile(continuing: "/dev/full")
            let error = #expect(throws: SystemError.self) { try full.append([4], at: 3) }
            #expect(error?.number == ENOSPC)
            #expect(throws: SystemError.self) { try AppendedFile(making: path, mode: 0o600) }
            try AppendedFile(continuing: path).append([5], at: 3)
            #expect(try Files.read(path) == [1, 2, 3, 5])
        }
    }
}
