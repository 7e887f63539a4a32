// What no arbitration of two ZeroMQ inputs can be faster than on the same processors: both are received, one is passed
// on as it came, and nothing is looked at.
import ArgumentParser
import CZeroMQ

struct Merge: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Forward the first of several inputs and drop the others, until it is ended.")

    @Argument(help: "Where subscribers connect.") var back: String
    @Argument(help: "The venue's endpoints.") var fronts: [String]

    /// Messages that are taken from one input before the next one's turn, as zmq_proxy does.
    private static let burst = 1000

    func run() throws {
        let context = BenchContext()
        let subscribers = try BenchSocket(context, ZMQ_XPUB)
        try subscribers.set(ZMQ_SNDHWM, 50_000)
        try subscribers.set(ZMQ_XPUB_NODROP, 1)
        try subscribers.bind(back)
        while unsafe subscribers.receive()?.first != 1 {}
        let venues = try fronts.map { front in
            let venue = try BenchSocket(context, ZMQ_SUB)
            try venue.set(ZMQ_RCVHWM, 200_000)
            try venue.subscribe("")
            try venue.connect(front)
            return venue
        }
        var polled = unsafe venues.map {
            unsafe zmq_pollitem_t(socket: $0.raw, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0)
        }
        while unsafe zmq_poll(&polled, Int32(polled.count), -1) >= 0 {
            for (index, venue) in venues.enumerated() {
                for _ in 0..<Merge.burst {
                    guard unsafe venue.receive(wait: false) != nil else { break }
                    if index == 0 { venue.pass(to: subscribers) }
                }
            }
        }
    }
}
