// What the kernel tells of mounts, disks and arrays, decoded: recorded texts, and texts that no kernel would write.
import Basics
import Configuration
import Linux
import Testing

@testable import Watchers

private func mounts(_ text: String) -> MountInfo { MountInfo(Array(text.utf8)) }

private func recorded(_ path: String) throws -> [UInt8] {
    try Files.read("\(try #require(recordings))/host/\(path)")
}

struct MountInfoTests {
    @Test(.enabled(if: recordings != nil)) func `a recorded host`() throws {
        let info = MountInfo(try recorded("procfs/proc/26231/mountinfo"))
        #expect(info.entries.count == 8 && info.rejected == 0)
        let root = try #require(info.entries.first { $0.name == "/" })
        #expect(root.device == DeviceNumber(major: 8, minor: 1))
        #expect((root.type, root.source) == ("ext4", "/dev/sda1"))
        let container = try #require(info.entries.last)
        #expect(container.root == Array("/var/lib/containers/storage/overlay".utf8))
    }

    @Test func `names keep their spaces, and the source may be empty`() throws {
        let info = mounts("36 35 8:2 / /a\\040b\\134c rw,noatime shared:1 master:2 - ext4  ro,x\n")
        let entry = try #require(info.entries.first)
        #expect((entry.name, entry.source) == ("/a b\\c", ""))
        #expect(entry.isReadOnly && !entry.isMountReadOnly)
    }

    @Test func `a file system that has given up is read-only, although it says rw`() throws {
        let info = mounts("1 0 8:1 / / rw - ext4 /dev/sda1 rw,errors=remount-ro,emergency_ro\n")
        let entry = try #require(info.entries.first)
        #expect(entry.isReadOnly && entry.hasGivenUp && !entry.isMountReadOnly)
        #expect(mounts("1 0 8:1 / / rw - ext4 /dev/sda1 rw,shutdown\n").entries.first?.isReadOnly == true)
        #expect(
            mounts("1 0 8:1 / / rw - ext4 /dev/sda1 rw,errors=remount-ro\n").entries.first?.isReadOnly
                == false)
    }

    @Test func `what is no mount is counted and left out`() {
        let lines = [
            "", "garbage", "1 2 3", "1 2 8:1 / / rw - ext4", "x 2 8:1 / / rw - ext4 /dev/a rw",
            "1 2 8 / / rw - ext4 /dev/a rw", "1 2 8:1 / relative rw - ext4 /dev/a rw", " - ", " -  - - ",
            "1 2 8:-1 / / rw - ext4 /dev/a rw", "1 2 8:1 / /\\000 rw - ext4 /dev/a rw",
        ]
        let info = mounts(lines.joined(separator: "\n"))
        #expect(info.entries.isEmpty && info.rejected == lines.count - 1)
    }

    @Test func `cut anywhere it is read without harm`() {
        let text = Array("36 35 8:2 / /a\\040b rw shared:1 - ext4 /dev/sda2 rw,errors=continue\n".utf8)
        for end in text.indices { #expect(MountInfo(Array(text[..<end])).entries.count <= 1) }
        var random = SplitMix(state: 7)
        for _ in 0..<500 {
            var broken = text
            for _ in 0..<4 { broken[Int(random.next() % UInt64(text.count))] = UInt8(random.next() & 0xFF) }
            #expect(MountInfo(broken).entries.count <= 4)
        }
    }

    @Test func `more mounts than anyone has are left out`() {
        let line = "36 35 8:2 / /a rw - ext4 /dev/sda2 rw\n"
        let info = mounts(String(repeating: line, count: MountInfo.most + 10))
        #expect(info.entries.count == MountInfo.most && info.rejected == 10)
    }

    @Test func `what something else is mounted over is not visible`() {
        let info = mounts(
            """
            1 0 8:1 / / rw - ext4 /dev/sda1 rw
            2 1 8:2 / /data rw - ext4 /dev/sda2 rw
            3 1 8:3 / /data/deep rw - ext4 /dev/sda3 rw
            4 2 8:4 / /data rw - ext4 /dev/sda4 rw
            5 4 8:5 / /data/new rw - ext4 /dev/sda5 rw
            6 1 8:6 / /database rw - ext4 /dev/sda6 rw
            """)
        let visible = info.entries.filter { info.isVisible($0) }.map(\.id)
        #expect(visible == [1, 4, 5, 6])
    }

    @Test func `parents in a circle do no harm`() {
        let info = mounts("1 2 8:1 / / rw - ext4 a rw\n2 1 8:2 / /a rw - ext4 b rw\n")
        #expect(info.entries.filter { info.isVisible($0) }.count == 2)
    }
}

struct MountChoiceTests {
    private let host = """
        1 0 8:1 / / rw shared:1 - ext4 /dev/sda1 rw
        2 1 8:2 / /boot rw - ext4 /dev/sda2 rw
        3 1 0:20 / /proc rw - proc proc rw
        4 1 0:21 / /run rw - tmpfs tmpfs rw
        5 1 0:22 / /mnt/nfs rw - nfs4 server:/x rw
        6 1 7:0 / /snap/x/1 ro - squashfs /dev/loop0 ro
        7 1 0:30 /@ /srv rw - btrfs /dev/sdb1 rw
        8 7 0:30 /@home /srv/home rw - btrfs /dev/sdb1 rw
        9 1 0:40 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
        10 1 0:41 / /auto rw - autofs systemd-1 rw
        """

    private func choice(include: [String] = [], exclude: [String] = [], discover: Bool = true) -> MountChoice
    {
        var options = DiskOptions()
        (options.include, options.exclude, options.discover) = (include, exclude, discover)
        return MountChoice(options)
    }

    private func names(_ choice: MountChoice, own: String? = nil, host: String? = nil) -> [String] {
        choice.chosen(own: mounts(own ?? self.host), host: host.map(mounts)).map(\.name)
    }

    @Test func `local file systems on block devices, each once`() {
        #expect(names(choice()) == ["/", "/boot", "/srv"])
    }

    @Test func `others are watched when they are named, and none that is excluded`() {
        #expect(
            names(choice(include: ["/mnt/*", "/run", "/auto"])) == ["/", "/boot", "/mnt/nfs", "/run", "/srv"])
        #expect(names(choice(exclude: ["/b*"])) == ["/", "/srv"])
        #expect(names(choice(include: ["/srv/home"], discover: false)) == ["/srv/home"])
        #expect(choice(include: ["/a", "/b*"]).required == ["/a"])
    }

    @Test func `a sandbox's own view of the same is the host's mounts, asked where they are in sight`() throws
    {
        let own = """
            1 0 8:1 / / ro - ext4 /dev/sda1 rw
            2 1 8:1 /tmp/private /tmp rw - ext4 /dev/sda1 rw
            3 1 8:1 /var/lib/holdfast /var/lib/holdfast rw - ext4 /dev/sda1 rw
            4 1 8:9 / /only/here rw - ext4 /dev/sdc rw
            """
        let chosen = choice().chosen(own: mounts(own), host: mounts(host))
        #expect(chosen.map(\.name) == ["/", "/boot", "/only/here", "/srv"])
        let root = try #require(chosen.first)
        #expect(!root.isReadOnly && !root.isMountReadOnly && root.path == Array("/".utf8))
        #expect(chosen[1].path == nil)
        #expect(chosen[2].path == Array("/only/here".utf8))
    }

    @Test
    func `a file system at a place that a sandbox has for itself is asked by the part that is in sight`() {
        let host = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:5 / /tmp rw - ext4 /dev/sda5 rw\n"
        let own = host + "3 2 8:5 /systemd-private-x/tmp /tmp rw - ext4 /dev/sda5 rw\n"
        let chosen = choice().chosen(own: mounts(own), host: mounts(host))
        #expect(chosen.map(\.name) == ["/", "/tmp"])
        #expect(chosen.map(\.path) == [Array("/".utf8), Array("/tmp".utf8)])
    }

    @Test func `what a container gets of its host's disk is not watched, what the system runs from is`() {
        let container =
            "1 0 0:9 / / rw - overlay o rw\n2 1 8:1 /docker/1/hosts /etc/hosts rw - ext4 /dev/sda1 rw\n"
        #expect(names(choice(), own: container) == [])
        let image = "1 0 8:1 /ostree/deploy/1 / rw - xfs x rw\n2 1 8:1 /ostree/var /var rw - xfs x rw\n"
        #expect(names(choice(), own: image) == ["/"])
    }

    @Test func `the whole file system gives the name, not a part of it`() {
        let own = "1 0 8:1 /part /a rw - ext4 x rw\n2 0 8:1 / /whole/of/it rw - ext4 x rw\n"
        #expect(names(choice(), own: own) == ["/whole/of/it"])
    }
}

struct DiskStatisticsTests {
    @Test(
        .enabled(if: recordings != nil), arguments: ["procfs/proc/diskstats", "node_exporter/proc/diskstats"])
    func `recorded hosts of several kernels`(path: String) throws {
        let (devices, rejected) = DiskStatistics.decode(try recorded(path))
        #expect(rejected == 0 && devices.count > 40)
        let disk = try #require(devices["nvme0n1"])
        #expect(disk.reads == 47114 && disk.readSectors == 4_643_973 && disk.readMilliseconds == 21650)
        #expect(disk.writes == 1_078_320 && disk.writtenSectors == 39_451_633)
        #expect(disk.writeMilliseconds == 1_011_053 && disk.inFlight == 0)
        #expect(disk.busyMilliseconds == 222_766)
    }

    @Test func `older kernels count no discards and no flushes, and newer ones may count more`() {
        func decoded(_ numbers: Int) -> DiskStatistics? {
            let line = (1...numbers).map(String.init).joined(separator: " ")
            return DiskStatistics.decode(Array("   8       0 sda \(line)\n".utf8)).devices["sda"]
        }
        #expect(decoded(10) == nil)
        #expect(decoded(11)?.busyMilliseconds == 10)
        #expect(decoded(11)?.discards == 0 && decoded(11)?.flushes == 0)
        #expect(decoded(15)?.discards == 12 && decoded(15)?.flushes == 0)
        #expect(decoded(17)?.discards == 12 && decoded(17)?.flushes == 16)
        #expect(decoded(20) == decoded(17))
    }

    @Test func `lines of another form are counted`() {
        let text = """
             8 0 sda 1 2 3 4 5 6 7 8 9 10 11
             8 0 short 1 2 3
             8 0 minus 1 2 -3 4 5 6 7 8 9 10 11
             8 0 huge 99999999999999999999 2 3 4 5 6 7 8 9 10 11
            """
        let (devices, rejected) = DiskStatistics.decode(Array(text.utf8))
        #expect(devices.keys.sorted() == ["sda"] && rejected == 3)
    }
}

struct MDStatTests {
    private func arrays(_ text: String) -> [MDArray] { MDArray.decode(Array(text.utf8)) }

    @Test func `a whole array`() throws {
        let array = try #require(
            arrays(
                """
                Personalities : [raid1] [raid6]
                md0 : active raid1 sdb1[1] sda1[0]
                      1046528 blocks super 1.2 [2/2] [UU]
                      bitmap: 0/1 pages [0KB], 65536KB chunk

                unused devices: <none>
                """
            ).first)
        #expect((array.name, array.level, array.isActive) == ("md0", "raid1", true))
        #expect(array.members == ["sdb1", "sda1"] && array.failed.isEmpty)
        #expect(array.missing == 0 && array.operation == nil)
    }

    @Test func `degraded, rebuilding, failed, and not active`() {
        let found = arrays(
            """
            md1 : active raid5 sdd1[3] sdb1[0] sdc1[1]
                  1953520640 blocks super 1.2 level 5, 512k chunk, algorithm 2 [3/2] [UU_]
                  [===================>.]  recovery = 99.1% (968462404/976760320) finish=4.1min speed=33346K/sec
            md2 : active (auto-read-only) raid1 sdb2[1](F) sda2[0] sdc2[2](S)
                  1046528 blocks super 1.2 [2/1] [U_]
                    resync=PENDING
            md3 : inactive sdb3[0](S)
                  1046528 blocks super 1.2
            md4 : active raid0 sda4[0] sdb4[1]
                  2093056 blocks super 1.2 512k chunks
            md5 : active raid6 a[0] b[1] c[2] d[3]
                  2093056 blocks level 6 [5/4] [UUUU_]
                  [>....................]  check =100.0% (1/1) finish=0.0min speed=1K/sec
            unused devices: <none>
            """)
        #expect(found.map(\.name) == ["md1", "md2", "md3", "md4", "md5"])
        #expect(found[0].operation == .recovery && found[0].progress == 0.991)
        #expect(found[1].failed == ["sdb2"] && found[1].level == "raid1")
        #expect(found[1].operation == .resync && found[1].progress == nil)
        #expect(found.map(\.isActive) == [true, true, false, true, true])
        #expect(found.map(\.isWithoutRedundancy) == [true, true, false, false, false])
        #expect(found[4].operation == .check && found[4].progress == 1)
    }

    @Test func `garbage holds no arrays, and nothing grows beyond its bound`() {
        #expect(arrays("").isEmpty)
        #expect(arrays("md0 :\nmd1\n[3/2]\n recovery = \n resync =\n").isEmpty)
        let members = (0..<500).map { "sd\($0)[\($0)]" }.joined(separator: " ")
        let many = (0..<500).map { "md\($0) : active raid1 \(members)\n [2/2] [UU]\n" }.joined()
        let found = arrays(many)
        #expect(found.count == 128 && found.allSatisfy { $0.members.count == 128 })
        #expect(arrays("md0 : active raid1\n [99999999999999999999/1] [-1/2]\n").first?.wanted == nil)
    }
}
