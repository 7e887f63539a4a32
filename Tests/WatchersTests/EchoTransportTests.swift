// Echo requests and replies on the real loop over loopback, and which stamp is whose.
import Basics
import Glibc
import Linux
import Logging
import Reactor
import Testing

@testable import Watchers

struct EchoTransportTests {
    /// What goes to everybody is refused by the kernel.
    @Test(.enabled(if: getuid() == 0)) func `sends that fail cost the others no reply`() throws {
        let loop = try EventLoop()
        let context = try WatcherContext(
            loop: loop, worker: Worker(loop), logger: Logger(label: "test"), report: { _ in },
            sample: { _ in }, forget: { _ in })
        var came: [UInt16] = []
        let transport = EchoTransport(context, "lo", .v4, isPrompt: true) { event in
            if case .echo(_, _, let sequence, _) = event { came.append(sequence) }
        }
        let everybody = try #require(IPAddress("255.255.255.255"))
        for sequence in UInt16(1)...20 {
            #expect(transport.send(to: everybody, identifier: 0x4847, sequence: sequence) != nil)
            #expect(transport.send(to: .v4(.loopback), identifier: 0x4847, sequence: sequence) == nil)
        }
        for _ in 0..<2000 where came.count < 20 {
            try loop.step(atMost: .milliseconds(5))
            transport.collect()
        }
        #expect(came == Array(1...20))
    }
}

struct DepartureLogTests {
    private let target = IPAddress.v4(.loopback)

    private func wall(_ nanoseconds: Int64) -> WallTime { WallTime(nanoseconds: nanoseconds) }

    @Test func `stamps are of the probes that bear their numbers, also when these begin again`() {
        var log = DepartureLog()
        for sequence in UInt16(1)...3 { log.sent(to: target, sequence: sequence, at: wall(0)) }
        log.departed(1, at: wall(20))
        log.renumbered()
        for sequence in UInt16(4)...5 { log.sent(to: target, sequence: sequence, at: wall(0)) }
        log.departed(0, at: wall(40))
        // One of the numbers before.
        log.departed(2, at: wall(99))
        let times = (UInt16(1)...5).map { log.departure(to: target, sequence: $0)?.nanoseconds }
        #expect(times == [0, 20, 0, 40, 0])
    }
}
