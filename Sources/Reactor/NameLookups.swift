// Looks names up on a few threads, so that one that its name server does not answer for delays no other. Who asks for a
// name that is being looked up has that answer.
public import Linux

/// The threads of who dials by name.
public final class NameLookups {
    typealias Answer = Result<[ResolvedAddress], LookUpFailure>
    /// Finds the addresses of a host, with a port; it may take as long as name servers take.
    typealias Find = @Sendable (String, UInt16) -> Answer

    /// How many names are looked up at the same time.
    private static let lanes = 4

    private let loop: EventLoop
    private let find: Find
    /// The first one is there from the beginning, the others when they are needed.
    private var workers: [Worker]
    private var queue: LookUpQueue
    private var waiting: [LookUpQueue.Name: [(Answer) -> Void]] = [:]

    /// - Parameter mostAsked: what may wait for its answer.
    public convenience init(_ loop: EventLoop, mostAsked: Int) throws(SystemError) {
        try self.init(loop, mostAsked: mostAsked, find: ResolvedAddress.lookUp(host:port:))
    }

    convenience init(_ loop: EventLoop, mostAsked: Int, find: @escaping Find) throws(SystemError) {
        self.init(loop, try Worker(loop), lanes: NameLookups.lanes, mostAsked: mostAsked, find)
    }

    /// One name at a time, on a thread that has other work as well, and its own bound.
    public convenience init(_ loop: EventLoop, on worker: Worker) {
        self.init(loop, worker, lanes: 1, mostAsked: .max, ResolvedAddress.lookUp(host:port:))
    }

    private init(
        _ loop: EventLoop, _ worker: Worker, lanes: Int, mostAsked: Int, _ find: @escaping Find
    ) {
        self.loop = loop
        self.find = find
        workers = [worker]
        queue = LookUpQueue(lanes: lanes, mostAsked: mostAsked)
    }

    /// Looks a name up, and then calls `then` on the loop. `false`: too many wait, nothing will happen.
    func lookUp(host: String, port: UInt16, then: @escaping (Answer) -> Void) -> Bool {
        let name = LookUpQueue.Name(host: host, port: port)
        guard queue.ask(name) else { return false }
        waiting[name, default: []].append(then)
        begin()
        return true
    }

    private func begin() {
        while let (lane, name) = queue.next() {
            let isAccepted = worker(of: lane).perform({ [find] in find(name.host, name.port) }) {
                [weak self] in
                self?.answered($0, name, by: lane)
            }
            if !isAccepted {
                answered(.failure(LookUpFailure(description: "too many look-ups wait")), name, by: lane)
            }
        }
    }

    /// Without a thread of its own it shares the last one.
    private func worker(of lane: Int) -> Worker {
        if lane == workers.count, let worker = try? Worker(loop) { workers.append(worker) }
        return workers[min(lane, workers.count - 1)]
    }

    private func answered(_ answer: Answer, _ name: LookUpQueue.Name, by lane: Int) {
        queue.answered(by: lane)
        for then in waiting.removeValue(forKey: name) ?? [] { then(answer) }
        begin()
    }
}
