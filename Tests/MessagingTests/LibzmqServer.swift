// libzmq as a CURVE server, as venues and collectors are one.
import CZeroMQ
import Reactor
import Wire

@testable import Messaging

extension Socket {
    /// Binds as a CURVE server.
    ///
    /// - Parameter judged: a `LibzmqJudge` of the context says who comes in; or else everybody does.
    func bind(_ endpoint: String, as keys: KeyPair, judged: Bool = false) throws(MessagingError) {
        var isServer: Int32 = 1
        zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &isServer, 4)
        zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, keys.secretKey.bytes, 32)
        if judged { zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, "test", 4) }
        try bind(endpoint)
    }
}

/// Whom libzmq asks who may come in (ZeroMQ RFC 27), and who refuses others for good.
final class LibzmqJudge {
    var allowed: [PublicKey]
    private let socket: UnsafeMutableRawPointer
    private var source: IOSource?

    init(_ context: MessagingContext, _ loop: EventLoop, _ allowed: [PublicKey]) throws {
        self.allowed = allowed
        socket = zmq_socket(context.context, ZMQ_REP)
        zmq_bind(socket, "inproc://zeromq.zap.01")
        var descriptor: Int32 = 0
        var size = 4
        zmq_getsockopt(socket, ZMQ_FD, &descriptor, &size)
        source = try IOSource(loop, descriptor: descriptor) { [unowned self] in
            while let request = receive() { answer(request) }
        }
        // Its descriptor tells of edges only.
        try source?.setPrepare { [unowned self] in while let request = receive() { answer(request) } }
    }

    deinit {
        source = nil
        zmq_close(socket)
    }

    private func receive() -> [[UInt8]]? {
        var frames: [[UInt8]] = []
        var buffer = [UInt8](repeating: 0, count: 1024)
        repeat {
            let count = zmq_recv(socket, &buffer, buffer.count, ZMQ_DONTWAIT)
            guard count >= 0 else { return nil }
            frames.append(Array(buffer[..<Int(count)]))
        } while hasMore
        return frames
    }

    private var hasMore: Bool {
        var more: Int32 = 0
        var size = 4
        zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size)
        return more != 0
    }

    /// Version, request, domain, address, identity, mechanism, key; and version, request, status, text, user, metadata.
    private func answer(_ request: [[UInt8]]) {
        let isKnown = request.count == 7 && PublicKey(bytes: request[6]).map(allowed.contains) == true
        let answer = [request[0], request[1], Array((isKnown ? "200" : "400").utf8), [], [], []]
        for (index, frame) in answer.enumerated() {
            zmq_send(socket, frame, frame.count, index + 1 < answer.count ? ZMQ_SNDMORE : 0)
        }
    }
}
