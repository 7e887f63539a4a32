// libzmq's own forwarder, which knows nothing of what it forwards: the peer of the gateway.
import ArgumentParser
import CZeroMQ

struct Proxy: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Forward with zmq_proxy, until it is ended.")

    @Argument(help: "The venue's endpoint.") var front: String
    @Argument(help: "Where subscribers connect.") var back: String

    func run() throws {
        let context = BenchContext()
        let venue = try BenchSocket(context, ZMQ_XSUB)
        let subscribers = try BenchSocket(context, ZMQ_XPUB)
        try subscribers.set(ZMQ_SNDHWM, 50_000)
        // Who is slow slows the venue down, as on each side of the gateway.
        try subscribers.set(ZMQ_XPUB_NODROP, 1)
        try venue.connect(front)
        try subscribers.bind(back)
        unsafe zmq_proxy(venue.raw, subscribers.raw, nil)
    }
}
