// The loop on the real sd-event: order, counts and content; never how long something took.
import Basics
import Foundation
import Linux
import Testing

@testable import Reactor

@Suite struct LoopTests {
    @Test func `a deferred source runs once per arming`() throws {
        let loop = try EventLoop()
        var runs = 0
        let deferred = try DeferredSource(loop) { runs += 1 }
        deferred.arm()
        try loop.step(atMost: .zero)
        try loop.step(atMost: .zero)
        #expect(runs == 1)
        deferred.arm()
        try loop.step(atMost: .zero)
        #expect(runs == 2)
    }

    @Test func `a worker runs where it is told to, and its owner where it did`() throws {
        let (loop, own) = (try EventLoop(), try Affinity.current())
        let last = CPUList(own.numbers.suffix(1))
        let worker = try Worker(loop, on: last)
        var places: CPUList?
        worker.perform({ try? Affinity.current() }, then: { places = $0 })
        while places == nil { try loop.step(atMost: .seconds(1)) }
        #expect(places == last)
        #expect(try Affinity.current() == own)
        #expect(throws: SystemError.self) { try Worker(loop, on: CPUList([8191])) }
        #expect(try Affinity.current() == own)
    }

    @Test func `a worker that cannot begin leaves nothing open`() throws {
        let loop = try EventLoop()
        /// Those of other tests come and go meanwhile, but not so many.
        func openEvents() throws -> Int {
            try Files.names(in: "/proc/self/fd").count {
                (try? Files.target(ofLink: "/proc/self/fd/\($0)")) == "anon_inode:[eventfd]"
            }
        }
        let before = try openEvents()
        for _ in 0..<200 { #expect(throws: SystemError.self) { try Worker(loop, on: CPUList([8191])) } }
        #expect(try openEvents() < before + 200)
    }

    @Test func `what has work without end leaves all others their turns`() throws {
        let loop = try EventLoop()
        var turns: [String] = []
        var busy: DeferredSource?
        busy = try DeferredSource(loop) {
            turns.append("busy")
            busy?.arm()
        }
        busy?.arm()
        try loop.step(atMost: .zero)
        let deferred = try DeferredSource(loop) { turns.append("deferred") }
        let timer = try Timer(loop, accuracy: .microseconds(1)) { turns.append("timer") }
        let pipe = Foundation.Pipe()
        let arrivals = try IOSource(
            loop, descriptor: pipe.fileHandleForReading.fileDescriptor, edgeTriggered: true
        ) { turns.append("descriptor") }
        deferred.arm()
        timer.arm(at: loop.now)
        pipe.fileHandleForWriting.write(Data([1]))
        for _ in 0..<6 { try loop.step(atMost: .zero) }
        #expect(Set(turns) == ["busy", "deferred", "timer", "descriptor"], "\(turns)")
        withExtendedLifetime(arrivals) {}
    }

    @Test func `a signal becomes a call on the loop`() throws {
        let loop = try EventLoop()
        let source = try SignalSource(loop, signal: SIGUSR1) { loop.exit(3) }
        pthread_kill(pthread_self(), SIGUSR1)
        #expect(try loop.run() == 3)
        withExtendedLifetime(source) {}
    }

    @Test func `the worker answers on the loop, in order`() throws {
        let loop = try EventLoop()
        let worker = try Worker(loop)
        var results: [Int] = []
        for number in 1...3 {
            worker.perform({ number * 10 }) { result in
                results.append(result)
                if results.count == 3 { loop.exit(0) }
            }
        }
        _ = try loop.run()
        #expect(results == [10, 20, 30])
    }

    @Test func `a full worker refuses and counts, and works on`() throws {
        let loop = try EventLoop()
        let worker = try Worker(loop, capacity: 2)
        let gate = DispatchSemaphore(value: 0)
        var done = 0
        #expect(worker.perform({ gate.wait() }) { done += 1 })
        #expect(
            worker.perform({ 1 }) { _ in
                done += 1
                loop.exit(0)
            })
        #expect(!worker.perform({ 2 }) { _ in done += 100 })
        #expect(worker.refused == 1)
        gate.signal()
        _ = try loop.run()
        #expect(done == 2)
    }

    @Test func `what is lent comes back changed, and was nobody else's meanwhile`() throws {
        let loop = try EventLoop()
        let worker = try Worker(loop)
        var kept: [UInt8] = []
        var (place, placeThere): (UInt?, UInt?) = (nil, nil)
        var load = [UInt8](repeating: 1, count: 100_000)
        place = storage(of: &load)
        let left = worker.lend(
            consume load,
            to: { load -> UInt? in
                load[5] = 9
                return storage(of: &load)
            },
            then: { there, load in
                (placeThere, kept) = (there, load)
                loop.exit(0)
            })
        #expect(left == nil)
        _ = try loop.run()
        #expect(kept.count == 100_000 && kept[4] == 1 && kept[5] == 9)
        // Written to where it was: nothing of it was copied.
        #expect(place != nil && placeThere == place && storage(of: &kept) == place)
    }

    @Test func `what a full worker cannot be lent stays whose it was`() throws {
        let loop = try EventLoop()
        let worker = try Worker(loop, capacity: 1)
        let gate = DispatchSemaphore(value: 0)
        #expect(worker.perform({ gate.wait() }) { loop.exit(0) })
        var calls = 0
        let left = worker.lend([1, 2, 3], to: { $0 = [] }, then: { _, _ in calls += 1 })
        #expect(left == [1, 2, 3] && worker.refused == 1)
        gate.signal()
        _ = try loop.run()
        #expect(calls == 0)
    }

    @Test func `loads come back in the order in which they were lent`() throws {
        let loop = try EventLoop()
        let worker = try Worker(loop)
        var back: [[Int]] = []
        for number in 1...3 {
            let left = worker.lend(
                [number], to: { $0.append($0[0] * 10) },
                then: { _, load in
                    back.append(load)
                    if back.count == 3 { loop.exit(0) }
                })
            #expect(left == nil)
        }
        _ = try loop.run()
        #expect(back == [[1, 10], [2, 20], [3, 30]])
    }

    @Test func `time stands still within one iteration`() throws {
        let loop = try EventLoop()
        var stamps: [Instant] = []
        let deferred = try DeferredSource(loop) {
            stamps.append(loop.now)
            _ = Clock.monotonic
            stamps.append(loop.now)
        }
        deferred.arm()
        try loop.step(atMost: .zero)
        #expect(stamps.count == 2)
        #expect(stamps[0] == stamps[1])
    }
}

/// Where an array's elements are.
private func storage(of array: inout [UInt8]) -> UInt? {
    array.withUnsafeMutableBufferPointer { $0.baseAddress.map { UInt(bitPattern: $0) } }
}
