// The only crossing between threads: blocking calls go to one worker thread through a bounded queue, and
// their results come back to the loop through an eventfd.
public import Linux
public import Basics
import CLinux
import CSystemd
import Glibc
import Synchronization

/// What a job leaves for the loop. It comes with no result, so that the thread itself can let go of it where the loop does
/// not wait for the job any more: to do so may block.
public final class Deposit<Value: Sendable>: Sendable {
    private let value = Mutex<Value?>(nil)

    public init() {}

    public func leave(_ new: Value?) { value.withLock { $0 = new } }

    /// It is there no longer.
    public func take() -> Value? { value.withLock { $0.take() } }
}

/// One thread for calls that may block.
public final class Worker {
    /// What waits for the thread and what it has finished; the only state that two threads see.
    private final class Exchange: Sendable {
        struct State {
            var waiting: [(id: UInt64, work: @Sendable () -> any Sendable)] = []
            var finished: [(id: UInt64, result: any Sendable)] = []
            var isStopping = false
        }

        let state = Mutex(State())
        let wake: Int32
        let done: Int32

        init(wake: Int32, done: Int32) {
            self.wake = wake
            self.done = done
        }

        /// The thread's life: wait, take all that waits, perform it in order.
        func run() {
            while !state.withLock({ $0.isStopping }) {
                var count: UInt64 = 0
                _ = unsafe read(wake, &count, 8)
                while let job = state.withLock({ $0.waiting.isEmpty ? nil : $0.waiting.removeFirst() }) {
                    let result = job.work()
                    state.withLock { $0.finished.append((job.id, result)) }
                    signal(done)
                }
            }
            close(wake)
            close(done)
        }

        func signal(_ descriptor: Int32) {
            var one: UInt64 = 1
            _ = unsafe write(descriptor, &one, 8)
        }
    }

    /// What a job has while it is performed, and nobody else.
    private final class Loan<Load: Sendable>: Sendable {
        let load: Mutex<Load?>
        init(_ load: Load) { self.load = Mutex(load) }
    }

    private let exchange: Exchange
    private let done: Int32
    private var source: IOSource?
    private var completions: [UInt64: (any Sendable) -> Void] = [:]
    private var nextID: UInt64 = 0
    private let capacity: Int
    /// Jobs refused because the queue was full.
    public private(set) var refused = 0

    /// Starts the thread. It blocks all signals: the loop takes them.
    ///
    /// - Parameter processors: where it may run; `nil`: where the caller may.
    /// - Throws: EINVAL when none of the processors can be used.
    public init(
        _ loop: EventLoop, capacity: Int = 64, on processors: CPUList? = nil
    ) throws(SystemError) {
        self.capacity = capacity
        let wake = try Worker.eventDescriptor(flags: Int32(EFD_CLOEXEC))
        let done = try Worker.eventDescriptor(flags: Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
        let exchange = Exchange(wake: wake.raw, done: done.raw)
        try Worker.start(exchange, on: processors)
        // Now that the thread runs, it closes both.
        _ = wake.release()
        self.done = done.release()
        self.exchange = exchange
        source = try IOSource(loop, descriptor: self.done) { [unowned self] in collect() }
    }

    private static func eventDescriptor(flags: Int32) throws(SystemError) -> Descriptor {
        let raw = eventfd(0, flags)
        guard raw >= 0 else { throw SystemError("eventfd", number: errno) }
        return Descriptor(owning: raw)
    }

    /// Ends the thread after the job that it is in; results not collected yet are dropped.
    deinit {
        source = nil
        exchange.state.withLock { state in
            state.isStopping = true
            state.waiting.removeAll()
            // As soon as the thread sees it, it closes what it is woken by.
            exchange.signal(exchange.wake)
        }
    }

    /// Performs `work` on the thread and then `then` on the loop. `false`: the queue is full, nothing will
    /// happen; counted in `refused`.
    @discardableResult
    public func perform<Result: Sendable>(
        _ work: @escaping @Sendable () -> Result, then: @escaping (Result) -> Void
    ) -> Bool {
        guard completions.count < capacity else {
            refused += 1
            return false
        }
        nextID += 1
        let id = nextID
        completions[id] = { result in
            guard let result = result as? Result else {
                preconditionFailure("a job changed its result's type")
            }
            then(result)
        }
        exchange.state.withLock { $0.waiting.append((id, work)) }
        exchange.signal(exchange.wake)
        return true
    }

    /// Performs `work` on the thread, which has `load` meanwhile, and then `then` on the loop, to which it comes back:
    /// what it holds is not copied on the way, as long as nobody keeps any of it.
    ///
    /// - Returns: `load`, if the queue is full: nothing will happen; counted in `refused`.
    public func lend<Load: Sendable, Result: Sendable>(
        _ load: consuming Load, to work: @escaping @Sendable (inout Load) -> Result,
        then: @escaping (Result, inout Load) -> Void
    ) -> Load? {
        let loan = Loan(load)
        let isTaken = perform(
            { loan.load.withLock { work(&$0!) } },
            then: { result in
                guard var load = loan.load.withLock({ $0.take() }) else {
                    preconditionFailure("a job came back twice")
                }
                then(result, &load)
            })
        return isTaken ? nil : loan.load.withLock { $0.take() }
    }

    /// Lets go of something on the thread, because its end may wait, behind the jobs that are there already.
    ///
    /// - Returns: it, if the queue is full; counted in `refused`.
    @discardableResult
    public func letGo<Load: Sendable>(of load: consuming Load) -> Load? {
        lend(Optional(load), to: { $0 = nil }, then: { (_: Void, _: inout Load?) in }) ?? nil
    }

    /// Likewise of what a job leaves there that nobody waits for any more.
    public func empty<Value>(_ deposit: Deposit<Value>) {
        perform({ _ = deposit.take() }, then: {})
    }

    /// Waits for a result, until then at most, and hands it on: for the end of a program, whose loop turns no more.
    public func wait(until end: Instant) {
        guard !completions.isEmpty else { return }
        var poll = pollfd(fd: done, events: Int16(POLLIN), revents: 0)
        let left = max(0, (end - Clock.monotonic).microseconds / 1000)
        guard unsafe Glibc.poll(&poll, 1, Int32(clamping: left)) > 0 else { return }
        collect()
    }

    private func collect() {
        var count: UInt64 = 0
        _ = unsafe read(done, &count, 8)
        var finished = exchange.state.withLock { state in
            defer { state.finished.removeAll() }
            return state.finished
        }
        // Each result ends with its turn, and with it what it holds.
        finished.reverse()
        while let (id, result) = finished.popLast() { completions.removeValue(forKey: id)?(result) }
    }

    private static func start(_ exchange: Exchange, on processors: CPUList?) throws(SystemError) {
        guard let processors else { return try start(exchange) }
        // A thread begins where the one that starts it may run.
        let own = try Affinity.current()
        try Affinity.set(processors)
        defer { try? Affinity.set(own) }
        try start(exchange)
    }

    private static func start(_ exchange: Exchange) throws(SystemError) {
        var all = sigset_t()
        var previous = sigset_t()
        unsafe sigfillset(&all)
        unsafe pthread_sigmask(SIG_SETMASK, &all, &previous)
        defer { unsafe pthread_sigmask(SIG_SETMASK, &previous, nil) }
        var thread = pthread_t()
        let argument = unsafe Unmanaged.passRetained(exchange).toOpaque()
        let result = unsafe pthread_create(
            &thread, nil,
            { argument in
                unsafe Unmanaged<Exchange>.fromOpaque(argument!).takeRetainedValue().run()
                return nil
            }, argument)
        guard result == 0 else {
            unsafe Unmanaged<Exchange>.fromOpaque(argument).release()
            throw SystemError("pthread_create", number: result)
        }
        pthread_detach(thread)
    }
}
