// Timers on the real sd-event: which of them are called, in which order, and with which of them at once.
import Basics
import Linux
import Testing

@testable import Reactor

@Suite struct TimerTests {
    @Test func `timers fire in the order of their times, each once`() throws {
        let loop = try EventLoop()
        var fired: [String] = []
        let late = try Timer(loop, accuracy: .microseconds(1)) {
            fired.append("late")
            loop.exit(7)
        }
        let early = try Timer(loop, accuracy: .microseconds(1)) { fired.append("early") }
        let never = try Timer(loop) { fired.append("never") }
        late.arm(at: loop.now + .milliseconds(20))
        early.arm(at: loop.now + .milliseconds(5))
        never.arm(at: loop.now + .milliseconds(10))
        never.disarm()
        #expect(try loop.run() == 7)
        #expect(fired == ["early", "late"])
    }

    @Test func `what is due at the end of time does not fire`() throws {
        let loop = try EventLoop()
        var fired: [String] = []
        let never = try Timer(loop) { fired.append("never") }
        let soon = try Timer(loop) {
            fired.append("soon")
            loop.exit(0)
        }
        never.arm(at: Instant(nanoseconds: .max))
        soon.arm(at: loop.now + .milliseconds(5))
        _ = try loop.run()
        #expect(fired == ["soon"])
    }

    @Test func `timers that may wait for each other are one wake-up`() throws {
        let loop = try EventLoop()
        var fired: [(name: String, iteration: UInt64)] = []
        func note(_ name: String) { fired.append((name, loop.iterations)) }
        let start = loop.now
        let patient = try Timer(loop, accuracy: .milliseconds(200)) { note("patient") }
        let strict = try Timer(loop, accuracy: .microseconds(1)) {
            note("strict")
            loop.exit(0)
        }
        patient.arm(at: start + .milliseconds(10))
        strict.arm(at: start + .milliseconds(30))
        _ = try loop.run()
        #expect(fired.map(\.name) == ["patient", "strict"])
        #expect(Set(fired.map(\.iteration)).count == 1)
    }

    @Test func `a timer that is due is called when something else has woken the loop`() throws {
        let loop = try EventLoop()
        var fired: [String] = []
        let patient = try Timer(loop, accuracy: .seconds(3600)) {
            fired.append("patient")
            loop.exit(0)
        }
        let waker = try Timer(loop, accuracy: .microseconds(1)) { fired.append("waker") }
        patient.arm(at: loop.now + .milliseconds(20))
        waker.arm(at: loop.now + .milliseconds(10))
        let work = try DeferredSource(loop) { fired.append("work") }
        while fired != ["waker"] { try loop.step(atMost: .milliseconds(50)) }
        // Whatever the loop is woken for, an hour early.
        while Clock.monotonic < loop.now + .milliseconds(30) {}
        work.arm()
        _ = try loop.run()
        #expect(fired == ["waker", "work", "patient"])
    }

    @Test func `a timer may arm, disarm and end others while it is called`() throws {
        let loop = try EventLoop()
        var fired: [String] = []
        var others: [Timer] = []
        let first = try Timer(loop, accuracy: .microseconds(1)) {
            fired.append("first")
            others[0].disarm()
            others[1].arm(at: loop.now)
            others.removeLast()
        }
        for name in ["disarmed", "later", "ended"] {
            others.append(
                try Timer(loop, accuracy: .microseconds(1)) {
                    fired.append(name)
                    if name == "later" { loop.exit(0) }
                })
        }
        let now = loop.now
        first.arm(at: now)
        for timer in others where timer !== others[1] { timer.arm(at: now + .microseconds(1)) }
        _ = try loop.run()
        #expect(fired == ["first", "later"])
    }

    @Test func `a timer that is last goes after what is ready when it is due`() throws {
        let loop = try EventLoop()
        var fired: [String] = []
        let timer = try Timer(loop, accuracy: .microseconds(1), isLast: true) { fired.append("timer") }
        let work = try DeferredSource(loop) { fired.append("work") }
        timer.arm(at: loop.now)
        work.arm()
        while fired.count < 2 { try loop.step(atMost: .milliseconds(50)) }
        #expect(fired == ["work", "timer"])
    }

    @Test func `a timer that is last has its turn while others work without end`() throws {
        let loop = try EventLoop()
        var fired: [String] = []
        let timer = try Timer(loop, accuracy: .microseconds(1), isLast: true) { fired.append("timer") }
        var busy: DeferredSource?
        busy = try DeferredSource(loop) {
            fired.append("busy")
            busy?.arm()
        }
        busy?.arm()
        timer.arm(at: loop.now)
        for _ in 0..<6 { try loop.step(atMost: .zero) }
        #expect(fired.contains("timer"), "\(fired)")
    }

    @Test func `a timer that is last and due can still be disarmed`() throws {
        let loop = try EventLoop()
        var fired: [String] = []
        let last = try Timer(loop, accuracy: .microseconds(1), isLast: true) { fired.append("last") }
        let first = try Timer(loop, accuracy: .microseconds(1)) {
            fired.append("first")
            last.disarm()
        }
        last.arm(at: loop.now)
        first.arm(at: loop.now + .microseconds(1))
        while fired.isEmpty { try loop.step(atMost: .milliseconds(50)) }
        try loop.step(atMost: .zero)
        #expect(fired == ["first"])
    }
}
