// Traffic for the history, from counters in a folder that looks like sysfs.
import Basics
import Glibc
import Linux
import Testing
import Wire

@testable import Watchers

@Suite struct NICRecorderTests {
    /// A folder with one NIC's counters in it.
    private final class Tree {
        let path: String
        private let folders: [String]

        init() throws {
            var template = Array("/tmp/holdfast-nic-XXXXXX".utf8CString)
            let root = try #require(mkdtemp(&template).map { String(cString: $0) })
            path = root
            folders = ["", "/class", "/class/net", "/class/net/eth0", "/class/net/eth0/statistics"].map {
                root + $0
            }
            for folder in folders.dropFirst() { try #require(mkdir(folder, 0o755) == 0) }
        }

        deinit {
            for name in ["rx_bytes", "tx_bytes"] { unlink("\(path)/class/net/eth0/statistics/\(name)") }
            for folder in folders.reversed() { rmdir(folder) }
        }

        func counts(_ received: Int, _ sent: Int) throws {
            for (name, count) in [("rx_bytes", received), ("tx_bytes", sent)] {
                let file = try #require(fopen("\(path)/class/net/eth0/statistics/\(name)", "w"))
                fputs("\(count)\n", file)
                fclose(file)
            }
        }
    }

    private func told(_ readings: [Sample]) -> [String] {
        readings.flatMap { reading in
            reading.values.map { "\(reading.subject) \($0.name) \($0.value.json.text)" }
        }
    }

    @Test func `rates are those between two readings, and a counter that went back is none`() throws {
        let folder = try Tree()
        try folder.counts(1000, 50)
        var roots = FileRoots()
        roots.sys = folder.path
        let recorder = NICRecorder(roots)
        recorder.watch(["eth0", "absent"])
        #expect(recorder.readings(at: at(0)).isEmpty)
        try folder.counts(1500, 60)
        #expect(
            told(recorder.readings(at: at(100)))
                == ["nic/eth0 rx_bytes_per_s 5000.0", "nic/eth0 tx_bytes_per_s 100.0"])
        try folder.counts(3, 60)
        #expect(recorder.readings(at: at(200)).isEmpty)
        try folder.counts(4, 60)
        #expect(told(recorder.readings(at: at(300))).first == "nic/eth0 rx_bytes_per_s 10.0")
        recorder.watch([])
        #expect(recorder.readings(at: at(400)).isEmpty)
    }
}
