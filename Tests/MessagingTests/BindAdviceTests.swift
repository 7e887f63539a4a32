// What is said when an endpoint cannot be bound.
import Glibc
import Testing

@testable import Messaging

@Suite struct BindAdviceTests {
    @Test(arguments: [
        (
            "ipc:///srv/nowhere/a.pub", ENOENT,
            "there is no folder /srv/nowhere: make it, or use /run/holdfast"
        ),
        (
            "ipc:///srv/a.pub", EROFS,
            "the unit keeps /srv read-only: use /run/holdfast, or add ReadWritePaths=/srv in a drop-in"
        ),
        (
            "ipc:///a.pub", EACCES,
            "this user may not write to /: use /run/holdfast, or give it to the user"
        ),
        ("ipc:///run/holdfast/a", ENOSPC, "make room: see df -h /run/holdfast and df -i /run/holdfast"),
        ("ipc:///run/holdfast/a", EADDRINUSE, "another process serves it"),
        ("tcp://10.0.0.1:5555", ENODEV, "this host has no address 10.0.0.1, or not yet: see ip address"),
        ("tcp://*:5555", EADDRINUSE, "another process has the port: see ss -ltnp sport = 5555"),
        ("127.0.0.1:5555", EINVAL, "an endpoint is ipc:///PATH or tcp://ADDRESS:PORT"),
        ("tcp://*:555", EACCES, "ports below 1024 take a capability: choose a higher one"),
    ])
    func `the reason comes with what to do`(endpoint: String, number: Int32, advice: String) {
        let text = MessagingError("bind \(endpoint)", number: number).description
        #expect(text.hasPrefix("bind \(endpoint): "))
        #expect(text.hasSuffix("; \(advice)"))
    }

    @Test func `where there is nothing to advise the reason stands alone`() {
        let none = [
            ("connect tcp://10.0.0.1:5", ENODEV), ("bind ipc://@a", ENOENT), ("bind tcp://*:5", ENOMEM),
        ]
        for (call, number) in none {
            #expect(!MessagingError(call, number: number).description.contains(";"))
        }
    }

    @Test func `a folder that is not there is said to be missing`() throws {
        let endpoint = "ipc:///nowhere/holdfast/a.pub"
        do throws(MessagingError) {
            try Socket(MessagingContext(), .xpub).bind(endpoint)
            Issue.record("bound \(endpoint)")
        } catch {
            #expect(
                error.description.hasSuffix(
                    "there is no folder /nowhere/holdfast: make it, or use /run/holdfast"))
        }
    }
}
