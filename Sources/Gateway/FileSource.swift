// One path of a UDP feed that comes from a capture, pcap or pcapng, and not from the wire: to try a configuration.
// What was sent to the path's group is handed on, at the pace at which it was recorded or as fast as it is read. The
// file is read on the files' worker, since a disk may take its time.
import Arbitration
import Basics
import Configuration
import FeedProtocols
import Linux
import Reactor
import Wire

final class FileSource: FeedSource {
    static let pieceBytes = 256 << 10
    /// Packets that are handed on before others get their turn.
    static let mostAtOnce = 256
    private static let firstRetry: Duration = .milliseconds(500)
    private static let longestRetry: Duration = .seconds(5)

    private(set) var counters = SourceCounters()
    private let path: Int
    private let file: String
    /// Where the packets went that are this path's; empty: all of the capture.
    private let groups: [IPv4Endpoint]
    private var pace: RecordedPace
    private let loop: EventLoop
    private let worker: Worker
    private let log: EventLog
    private unowned let owner: any FeedSourceOwner
    private var timer: Timer?
    private var backoff = Backoff(first: FileSource.firstRetry, longest: FileSource.longestRetry)
    private var reader = PcapFileReader()
    private var upcoming: (payload: [UInt8], time: WallTime?)?
    private var state = State.closed("not opened yet")

    private enum State {
        case closed(String)
        case open(OpenFile)
        /// A piece is being read.
        case reading(OpenFile)
        /// All was fed; what is left of it is handed on.
        case fed
        case ended(String)
    }

    init(
        _ loop: EventLoop, _ worker: Worker, path: Int, file: String, groups: [IPv4Endpoint],
        pace: CapturePace,
        log: @escaping EventLog, owner: any FeedSourceOwner
    ) throws(SystemError) {
        self.loop = loop
        self.worker = worker
        self.path = path
        self.file = file
        self.groups = groups
        self.pace = RecordedPace(speed: pace == .recorded ? 1 : nil)
        self.log = log
        self.owner = owner
        timer = try Timer(loop, accuracy: .microseconds(100)) { [unowned self] in proceed() }
    }

    var note: String? {
        switch state {
        case .closed(let why), .ended(let why): why
        case .open, .reading, .fed: nil
        }
    }

    func activate(_ topics: [WantedTopic]) {
        if case .closed = state { proceed() }
        owner.resubscribed(path)
    }

    func deactivate() {}
    func subscribe(_ topic: WantedTopic) {}
    func unsubscribe(_ topic: UpstreamTopic) {}
    func linkChanged(_ news: LinkNews?) {}
    func rekey(_ keys: KeyPair) {}

    // MARK: - Reading

    private func proceed() {
        switch state {
        case .closed: open()
        case .open, .fed: play()
        case .reading, .ended: break
        }
    }

    private func open() {
        counters.attempts &+= 1
        counters.retryAfter = .zero
        let file = file
        let isAccepted = worker.perform({
            Result { () throws(SystemError) in try OpenFile(path: file) }
        }) { [weak self] in self?.opened($0) }
        if !isAccepted { again(because: "\(file): the worker is busy") }
    }

    private func opened(_ result: Result<OpenFile, SystemError>) {
        switch result {
        case .success(let opened):
            state = .open(opened)
            counters.connects &+= 1
            owner.connected(path)
            play()
        case .failure(let error): again(because: error.description)
        }
    }

    private func again(because why: String) {
        if note != why { log(.pathNotReceiving, "\(why), trying again") }
        state = .closed(why)
        counters.retryAfter = backoff.wait(random: .random(in: .min ... .max))
        timer?.arm(at: loop.now + counters.retryAfter)
    }

    private func readOn(_ opened: OpenFile) {
        state = .reading(opened)
        let isAccepted = worker.perform({ opened.read(atMost: FileSource.pieceBytes) }) {
            [weak self] in self?.read($0, of: opened)
        }
        if !isAccepted {
            state = .open(opened)
            timer?.arm(at: loop.now + .milliseconds(10))
        }
    }

    private func read(_ result: Result<[UInt8], SystemError>, of opened: OpenFile) {
        do throws(SystemError) {
            let piece = try result.get()
            counters.bytes &+= UInt64(piece.count)
            if piece.isEmpty {
                do throws(MalformedInput) {
                    try reader.finish()
                    state = .fed
                } catch {
                    return end("\(file): \(error)")
                }
            } else {
                reader.feed(piece)
                state = .open(opened)
            }
            play()
        } catch {
            end("\(file): \(error)")
        }
    }

    // MARK: - Playing

    private func play() {
        defer {
            owner.drained(path)
            owner.emptied(path)
        }
        let time = loop.time
        do throws(MalformedInput) {
            for _ in 0..<FileSource.mostAtOnce {
                if upcoming == nil { upcoming = try next() }
                guard let packet = upcoming else {
                    switch state {
                    case .open(let opened): return readOn(opened)
                    case .fed: return end("the recording is over")
                    case .closed, .reading, .ended: return
                    }
                }
                let due = pace.due(packet.time, at: time.now)
                guard due <= time.now else {
                    timer?.arm(at: due)
                    return
                }
                upcoming = nil
                counters.packets &+= 1
                owner.received(packet.payload[...], on: path, receivedAt: time.wall, at: time)
            }
            timer?.arm(at: time.now)
        } catch {
            end("\(file): \(error)")
        }
    }

    /// The next packet of this path; `nil`: more must be read.
    private func next() throws(MalformedInput) -> (payload: [UInt8], time: WallTime?)? {
        while let frame = try reader.next() {
            guard let datagram = try? UDPDatagram(frame) else { continue }
            guard groups.isEmpty || groups.contains(where: { datagram.isFor($0) }) else { continue }
            return (Array(datagram.payload), frame.time)
        }
        return nil
    }

    private func end(_ why: String) {
        state = .ended(why)
        log(.pathNotReceiving, "\(why)")
        owner.disconnected(path, because: why)
    }
}

extension UDPDatagram {
    fileprivate func isFor(_ endpoint: IPv4Endpoint) -> Bool {
        destination == .v4(endpoint.address) && destinationPort == endpoint.port
    }
}
