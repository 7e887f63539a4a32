// What a daemon looks at and keeps at its start: its incarnation, its endpoints' folders, its command line.
import Glibc
import Linux
import Testing
import Wire

@testable import Daemon

/// A folder that goes with the test.
private final class Folder {
    let path: String

    init() throws {
        var template = Array("/tmp/holdfast-daemon-XXXXXX".utf8CString)
        path = try #require(mkdtemp(&template).map { String(cString: $0) })
    }

    deinit {
        for name in (try? Files.names(in: path)) ?? [] {
            unlink("\(path)/\(name)")
            rmdir("\(path)/\(name)")
        }
        rmdir(path)
    }
}

@Suite struct IncarnationFileTests {
    private let folder: Folder

    init() throws { folder = try Folder() }

    private func file(_ state: String?) -> IncarnationFile {
        IncarnationFile(daemon: "holdfast-agent") { $0 == "STATE_DIRECTORY" ? state : nil }
    }

    @Test func `it is in the state folder, named after the daemon`() {
        #expect(file("/var/lib/a:/var/lib/b").path == "/var/lib/a/agent.incarnation")
        #expect(file(nil).path == "/var/lib/holdfast/agent.incarnation")
        #expect(file("").path == "/var/lib/holdfast/agent.incarnation")
    }

    @Test func `what was kept is read again, and nothing else is left in the folder`() throws {
        let file = file(folder.path)
        #expect(try file.read() == nil)
        for number in [Int64(17), 1_767_323_045_678_901, 3] {
            let incarnation = try #require(Incarnation(number))
            try file.keep(incarnation)
            #expect(try file.read() == incarnation)
        }
        #expect(try Files.names(in: folder.path) == ["agent.incarnation"])
    }

    @Test(arguments: ["", "x", "-1", "9007199254740992", String(repeating: "1", count: 100)])
    func `a file that holds no number is told with its path`(text: String) throws {
        let file = file(folder.path)
        try Files.write(
            Array(text.utf8), to: file.path, Files.Attributes(mode: 0o600), replacing: true)
        let error = #expect(throws: SystemError.self) { try file.read() }
        #expect(error?.description.contains(file.path) == true)
    }

    @Test func `a folder that is missing is told when the number is to be kept`() throws {
        let file = file(folder.path + "/missing")
        #expect(try file.read() == nil)
        let error = #expect(throws: SystemError.self) { try file.keep(try #require(Incarnation(1))) }
        #expect(error?.number == ENOENT)
        #expect(error?.description.contains(folder.path) == true)
    }

    @Test func `a number that cannot be put in its place leaves the old one`() throws {
        let file = file(folder.path)
        try file.keep(try #require(Incarnation(1)))
        let blocked = self.file(folder.path + "/agent.incarnation")
        #expect(throws: SystemError.self) { try blocked.keep(try #require(Incarnation(2))) }
        #expect(try file.read()?.number == 1)
        #expect(try Files.names(in: folder.path) == ["agent.incarnation"])
    }
}

@Suite struct StartCheckTests {
    @Test func `the folders of ipc endpoints, each once`() {
        let endpoints = [
            "ipc:///run/holdfast/a.pub", "ipc:///run/holdfast/a.req", "ipc:///srv/x/md", "ipc://@abstract",
            "ipc:///root-level", "tcp://127.0.0.1:5555",
        ]
        #expect(StartChecks.folders(of: endpoints) == ["/run/holdfast", "/srv/x"])
    }

    @Test func `a folder that cannot be made or written is warned of, with its path`() throws {
        let folder = try Folder()
        #expect(StartChecks.warnings(["ipc://\(folder.path)/pub", "ipc://\(folder.path)/new/pub"]) == [])
        let warnings = StartChecks.warnings(["ipc://\(folder.path)/no/such/pub", "ipc:///proc/pub"])
        #expect(warnings.count == (geteuid() == 0 ? 1 : 2))
        #expect(warnings.first?.contains("\(folder.path)/no/such") == true)
    }

    @Test func `what the unit makes is not looked for`() {
        #expect(StartChecks.warnings(["ipc:///run/holdfast/agent.pub"]) == [])
    }
}

@Suite struct InvocationTests {
    @Test func `the command line of a daemon`() {
        #expect(Invocation([]) == .run(file: nil))
        #expect(Invocation(["--config", "a.toml"]) == .run(file: "a.toml"))
        #expect(Invocation(["-c", "a.toml", "--check"]) == .check(file: "a.toml"))
        #expect(Invocation(["--check", "--config=a.toml"]) == .check(file: "a.toml"))
        #expect(Invocation(["--check"]) == .check(file: nil))
        #expect(Invocation(["--config", "a.toml", "--check=start"]) == .check(file: "a.toml", isStart: true))
        #expect(Invocation(["--check", "--version"]) == .version)
        #expect(Invocation(["-h"]) == .help)
    }

    @Test(arguments: [
        ["--config"], ["--confg", "x"], ["x"], ["--config="], ["--check", "-v"], ["--check=reload"],
    ])
    func `what is not understood is named`(arguments: [String]) {
        guard case .wrong(let reason) = Invocation(arguments) else {
            Issue.record("\(arguments) were taken")
            return
        }
        #expect(arguments.contains { reason.contains($0) }, "\(reason)")
    }
}
