// The small readers: durations, endpoints, key lines, slips of the keyboard, and files that are none.
import Testing
import Wire

@testable import Configuration

@Suite struct TextTests {
    @Test(arguments: [
        ("100ms", Duration.milliseconds(100)), ("1.5s", .milliseconds(1500)), ("2m", .seconds(120)),
        ("1h", .seconds(3600)), ("7d", .seconds(604800)), ("10us", .microseconds(10)),
        ("1ns", .nanoseconds(1)),
        ("0s", .zero), ("0.000000001s", .nanoseconds(1)), ("0.5ns", .zero), ("1.25m", .seconds(75)),
        ("0.999999999d", .nanoseconds(86_399_999_913_600)),
    ])
    func `a duration is read exactly`(text: String, duration: Duration) {
        #expect(Duration(written: text) == duration)
    }

    @Test(arguments: [
        "", "5", "s", "ms", "-1s", "+1s", "1 s", "1.s", ".5s", "1.2.3s", "1e3s", "1S", "٣s", "1.0000000001s",
    ])
    func `what is no duration is none`(text: String) {
        #expect(Duration(written: text) == nil)
    }

    @Test(arguments: [
        (Duration.milliseconds(1500), "1500ms"), (.seconds(3), "3s"), (.seconds(120), "2m"), (.zero, "0s"),
        (.seconds(86400), "1d"), (.nanoseconds(7), "7ns"),
    ])
    func `a duration is written in its largest whole unit`(duration: Duration, text: String) {
        #expect(duration.written == text)
    }

    @Test(arguments: [
        ("ipc:///run/x", true), ("ipc://@x", true), ("tcp://127.0.0.1:1", true),
        ("tcp://127.9.9.9:65535", true),
        ("tcp://10.0.0.1:1", false), ("tcp://localhost:1", false), ("tcp://venue:1", false),
    ])
    func `an endpoint is of this host or not`(text: String, isLocal: Bool) {
        #expect(Endpoint(text)?.isLocal == isLocal)
    }

    @Test(arguments: [
        "", "ipc://", "ipc://x", "ipc://@", "tcp://*:5555", "tcp://127.0.0.1", "tcp://127.0.0.1:0",
        "tcp://:1",
        "tcp://127.0.0.1:65536", "tcp://127.0.0.01:1", "tcp://1.2.3:1", "tcp://a b:1", "udp://1.2.3.4:1",
        "inproc://x", "tcp://127.0.0.1:1:2", "tcp://[::1]:1", "tcp://127.0.0.1:+1",
    ])
    func `what is no endpoint is none`(text: String) {
        #expect(Endpoint(text) == nil)
    }

    @Test func `keys are found on their lines`() {
        let lines = KeyLines(
            of: """
                host = "x" # a = 1
                [bus]\r
                  publish = [
                    "a",
                  ]
                [[path.isp]]
                name = "a"
                [[path.isp]]
                "name" = 'b'
                [nic]
                a.b = 1
                """)
        #expect(lines.line(of: "host") == 1)
        #expect(lines.line(of: "bus.publish[0]") == 3)
        #expect(lines.line(of: "path.isp[1].name") == 9)
        #expect(lines.line(of: "path.isp[1].missing") == 8)
        #expect(lines.line(of: "nic.a.b") == 11)
        #expect(lines.line(of: "nowhere") == nil)
    }

    @Test func `a slip of the keyboard is recognised, another word is not`() {
        let keys = ["enabled", "discover", "include", "exclude"]
        #expect(nearest(to: "enabeld", among: keys) == "enabled")
        #expect(nearest(to: "inclde", among: keys) == "include")
        #expect(nearest(to: "colour", among: keys) == nil)
        #expect(nearest(to: "", among: keys) == nil)
    }

    @Test func `what is no file says so`() {
        func problem(_ path: String) -> String {
            do throws(ConfigurationError) {
                return try FileText.read(path: path)
            } catch {
                #expect(error.cause == (path.hasPrefix("/nonexistent") ? .missing : .unreadable))
                return error.description
            }
        }
        #expect(problem("/nonexistent/agent.toml") == "/nonexistent/agent.toml: no such file")
        #expect(problem("/tmp") == "/tmp: is a directory, not a file")
        #expect(problem("/dev/null") == "/dev/null: is not a regular file")
    }

    @Test func `a file that is not text says on which line`() {
        // The test's own program: certain to exist, and certain not to be UTF-8.
        #expect { try FileText.read(path: "/bin/true") } throws: { error in
            let error = error as? ConfigurationError
            return error?.cause == .invalid && error?.description.contains("is not UTF-8 text") == true
        }
    }
}
