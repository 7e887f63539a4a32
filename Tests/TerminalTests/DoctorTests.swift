// The doctor's checks on hosts that are wrong in one thing each.
import Testing
import Wire

@testable import Terminal

@Suite struct DoctorTests {
    /// A host on which there is nothing to do.
    private var well: DoctorFacts {
        var facts = DoctorFacts()
        facts.answer = .status(unknown: [], subjects: 9)
        facts.process = DoctorFacts.Process(capabilities: DoctorChecks.rawSockets, groups: [990])
        facts.reversePathFilters = ["eth0": 2, "eth1": 0]
        facts.multicastGroups = 2
        facts.mostReceiveBuffer = 16 << 20
        facts.wantedReceiveBuffer = 16 << 20
        facts.igmpMemberships = 20
        facts.wantedMemberships = 1
        facts.clockDaemons = ["chronyd"]
        facts.clockSource = "chrony"
        facts.systemBus = DoctorFacts.Reach("bus", failure: nil)
        facts.hasPressure = true
        return facts
    }

    private func advised(_ change: (inout DoctorFacts) -> Void) -> [String] {
        var facts = well
        change(&facts)
        return DoctorChecks.findings(of: facts).filter { $0.verdict == .advice }.map { finding in
            #expect(finding.advice?.isEmpty == false, "\(finding.check) says what to do")
            return "\(finding.check): \(finding.what)"
        }
    }

    @Test func `on a host that is well there is nothing to do`() {
        #expect(advised { _ in }.isEmpty)
        let lines = DoctorReport.lines(DoctorChecks.findings(of: well), palette: Palette(isColoured: false))
        #expect(lines.last == "nothing to do")
    }

    @Test func `an agent that does not answer is told with what to do`() {
        #expect(
            advised { $0.answer = .none(advice: "start it") }
                == ["agent: the agent does not answer: nothing is watched"])
    }

    @Test func `a gateway is asked where feeds are configured`() {
        #expect(
            advised { $0.gateway = DoctorFacts.Answer.none(advice: "start it") }
                == ["gateway: the gateway does not answer: no feed is delivered"])
        #expect(advised { $0.gateway = .status(unknown: [], subjects: 3) }.isEmpty)
        #expect(
            advised {
                $0.gateway = .status(unknown: [.init(Subject(.feed, "x"), "no path is well")], subjects: 3)
            }
                == ["subjects: feed/x is unknown: no path is well"])
    }

    @Test func `a journal must be writable and have room`() {
        var folder = DoctorFacts.JournalFolder("/j")
        (folder.availableBytes, folder.usedBytes, folder.keptBytes) = (5_000_000, 16_000_000, 20_000_000)
        #expect(advised { $0.journal = folder }.isEmpty)
        folder.isWritable = false
        #expect(advised { $0.journal = folder } == ["journal: the gateway's user may not write to /j"])
        folder.isWritable = true
        folder.availableBytes = 1_000_000
        #expect(
            advised { $0.journal = folder } == [
                "journal: 4.0MB more may be kept in /j, and there is room for 1.0MB: a full disk stops journalling"
            ])
        folder.availableBytes = nil
        #expect(
            advised {
                $0.journal = folder
                $0.unjournalled = [.init(Subject(.feed, "x"), "not journalled: open /j: Permission denied")]
            } == ["journal: feed/x: not journalled: open /j: Permission denied"])
    }

    @Test func `each unknown subject is told with its reason`() {
        for kind in Kind.allCases {
            let told = advised {
                $0.answer = .status(unknown: [.init(Subject(kind, "x"), "no reading")], subjects: 1)
            }
            #expect(told == ["subjects: \(kind.rawValue)/x is unknown: no reading"])
        }
    }

    @Test func `an interface that is configured and not there is told by its name`() {
        let told = advised {
            $0.namedInterfaces = 2
            $0.missingInterfaces = ["eth9"]
        }
        #expect(told == ["interfaces: there is no interface eth9: nothing comes in or goes out there"])
        #expect(advised { $0.namedInterfaces = 2 }.isEmpty)
    }

    @Test func `ping needs the capability or the group`() {
        let none = DoctorFacts.Process(capabilities: 0, groups: [990])
        #expect(advised { $0.process = none }.first?.hasPrefix("ping: the agent may not") == true)
        #expect(
            advised {
                $0.process = none
                $0.pingGroups = 0...1000
            }.isEmpty)
        #expect(
            advised {
                $0.process = none
                $0.watchesPaths = false
            }.isEmpty)
        #expect(advised { $0.process = nil }.isEmpty, "nothing is concluded from what cannot be seen")
    }

    @Test func `a strict reverse path filter is named by interface, unless there is but one`() {
        let told = advised { $0.reversePathFilters = ["eth1": 1, "eth0": 1, "eth2": 2] }
        #expect(told.map { $0.prefix(18) } == ["reverse path: eth0", "reverse path: eth1"])
        #expect(
            advised {
                $0.reversePathFilters = ["eth0": 1]
                $0.multicastGroups = 0
            }.isEmpty)
        #expect(advised { $0.reversePathFilters = ["eth0": 1] }.count == 1, "multicast comes from anywhere")
    }

    @Test func `limits of the kernel matter with multicast feeds only`() {
        #expect(advised { $0.mostReceiveBuffer = 212_992 }.first?.contains("212992") == true)
        #expect(advised { $0.mostReceiveBuffer = nil }.isEmpty)
        #expect(advised { $0.igmpMemberships = 0 }.count == 1)
        #expect(
            advised {
                $0.mostReceiveBuffer = 1
                $0.igmpMemberships = 0
                $0.multicastGroups = 0
                $0.wantedMemberships = 0
            }.isEmpty)
    }

    @Test func `upsd, its drivers, the clock, the bus and PSI`() {
        #expect(
            advised { $0.upsServers = [.init("127.0.0.1:3493", failure: "Connection refused")] }.count == 1)
        #expect(advised { $0.upsServers = [.init("127.0.0.1:3493", failure: nil)] }.isEmpty)
        let sockets: (inout DoctorFacts) -> Void = {
            $0.driverSockets = ["dummy-ups-rack"]
            $0.driverGroup = 123
        }
        #expect(advised(sockets).first?.hasPrefix("ups drivers") == true)
        #expect(
            advised {
                sockets(&$0)
                $0.process = .init(capabilities: DoctorChecks.rawSockets, groups: [123])
            }.isEmpty)
        #expect(
            advised {
                ($0.clockDaemons, $0.clockSource) = ([], nil)
            } == ["clock: nothing keeps the clock of this host"])
        #expect(advised { $0.systemBus = .init("bus", failure: "No such file") }.count == 1)
        #expect(advised { $0.hasPressure = false }.count == 1)
    }

    @Test func `who keeps the clock, and whether anybody tells how well`() {
        #expect(advised { $0.clockDaemons = nil }.isEmpty, "in a container the host keeps it")
        #expect(
            advised { $0.clockSource = nil } == [
                "clock: chronyd keeps the clock and does not answer the agent"
            ])
        for source in ["chrony", "kernel"] {
            #expect(
                advised {
                    $0.clockSource = source
                    $0.clockDaemons = []
                }.isEmpty)
        }
        func told(_ daemon: String, _ source: String?) -> String? {
            advised {
                ($0.clockDaemons, $0.clockSource) = ([daemon], source)
            }.first
        }
        #expect(told("systemd-timesyncd", "systemd-timesyncd")?.hasSuffix("how far off it may be") == true)
        #expect(told("ptp4l", nil)?.hasSuffix("only the kernel says how well") == true)
        #expect(
            advised {
                ($0.clockDaemons, $0.clockSource) = ([], nil)
                $0.watchesClock = false
            }.isEmpty)
    }

    @Test func `lines on the wire need the drop-in`() {
        #expect(
            advised {
                $0.lineFeeds = 1
                $0.refusedLines = ["itch.A", "itch.B"]
            } == ["lines: the agent may not capture: itch.A, itch.B"])
        #expect(advised { $0.lineFeeds = 1 }.isEmpty)
        func stopped(_ dropIn: Bool?) -> Int {
            advised {
                $0.answer = .none(advice: "start it")
                $0.lineFeeds = 1
                $0.hasLineDropIn = dropIn
            }.count
        }
        #expect(stopped(false) == 2 && stopped(true) == 1 && stopped(nil) == 1)
    }

    @Test func `executables of others need the right to trace`() {
        #expect(advised { $0.executables = ["matcher"] }.first?.hasSuffix("matcher") == true)
        #expect(
            advised {
                $0.executables = ["matcher"]
                $0.process = .init(capabilities: DoctorChecks.trace | DoctorChecks.rawSockets, groups: [])
            }.isEmpty)
    }

    @Test func `refused files are told one by one, and nothing steers a terminal`() {
        #expect(advised { $0.refusedFiles = ["a.toml:1: \u{1B}[2J", "b.toml:2: y"] }.count == 2)
        var facts = well
        facts.refusedFiles = ["a.toml:1: \u{1B}[2J"]
        let text = DoctorReport.lines(DoctorChecks.findings(of: facts), palette: Palette(isColoured: false))
        #expect(text.last == "1 to do" && !text.joined().contains("\u{1B}"))
    }
}
