// Which time services run on this host: asked where neither chronyd nor the kernel nor systemd-timesyncd tells of the
// clock, because that nobody keeps it is a fact, and that nobody says so is none.
import Basics
import Linux
import Wire

enum TimeServices {
    /// The names of their processes, which the kernel cuts after 15 bytes.
    static let chrony = "chronyd"
    static let timesyncd = "systemd-timesyn"
    private static let names: Set = [
        chrony, timesyncd, "ntpd", "ntp-daemon", "openntpd", "ptp4l", "phc2sys", "ts2phc", "timemaster",
        "ptpd",
        "ptpd2", "sfptpd", "timebeat",
    ]
    /// The namespace of processes that the kernel begins with has this number (PROC_PID_INIT_INO, include/linux/
    /// proc_ns.h).
    private static let hosts = "pid:[4026531836]"

    /// Those that run; `nil` where not all processes of the host can be seen, as in a container, whose clock is the
    /// host's. It reads a file of each process: for the worker.
    static func running(_ roots: FileRoots) -> [String]? {
        guard (try? Files.target(ofLink: "\(roots.proc)/self/ns/pid")) == hosts,
            (try? Files.text("\(roots.proc)/1/comm", limit: 64)) != nil,
            let processes = try? Files.names(in: roots.proc)
        else { return nil }
        let found = processes.filter { Int32($0) != nil }.compactMap {
            try? Files.text("\(roots.proc)/\($0)/comm", limit: 64)
        }
        return names.intersection(found).sorted()
    }
}

extension ClockReading {
    /// What the running services amount to when none of them tells how the clock is; `nil`: nothing is known.
    init?(services: [String]) {
        guard services.isEmpty || services == [TimeServices.timesyncd] else { return nil }
        source = services.isEmpty ? "nobody" : "systemd-timesyncd"
        unsynchronised =
            services.isEmpty
            ? "nothing keeps it, as no time service runs: install chrony"
            : "systemd-timesyncd has not heard from a server since it began"
        values = [NamedValue("source", .text(services.isEmpty ? "none" : "systemd-timesyncd"))]
    }
}
