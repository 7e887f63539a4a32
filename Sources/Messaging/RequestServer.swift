// The ROUTER of a daemon: one JSON frame in, one JSON frame out. A request that makes no sense is answered
// with what is wrong with it and disturbs nothing else.
import Basics
import Linux
public import Reactor
public import Wire

/// Answers requests of DEALER and REQ clients. A message has at most 16 frames, each of at most 128 KiB, and 132 KiB in all
/// of them: the connection of who sends more ends, since what follows could not be told from what came before.
public final class RequestServer {
    /// The longest request that is read; a longer one is answered with that.
    public static let longestRequest = 64 << 10

    private var server: RouterSocket?
    private let answer: ([UInt8], Caller) -> [UInt8]
    private let later: ([UInt8], Caller, Responder) -> Bool
    /// Answers that could not be delivered: the client was gone or did not read.
    public private(set) var undelivered = 0
    /// Requests that were longer than is read.
    public private(set) var malformed = 0
    /// Requests that were refused, but for those that `answer` refused.
    private(set) var refused: UInt64 = 0

    /// - Parameters:
    ///   - later: takes on a request that is answered later, and says whether it does.
    ///   - answer: makes the reply to a request of a client. (Strangers have none.)
    public init(
        _ loop: EventLoop, at endpoints: ServerEndpoints, log: LimitedLog,
        later: @escaping ([UInt8], Caller, Responder) -> Bool = { _, _, _ in false },
        answer: @escaping ([UInt8], Caller) -> [UInt8]
    ) throws(BusError) {
        self.answer = answer
        self.later = later
        server = try RouterSocket(loop, for: .request, at: endpoints, log: log) { [unowned self] in
            reply(to: $0, from: $1, of: $2)
        }
        server?.onLost = { [unowned self] in undelivered += 1 }
    }

    public var counters: AccessCounters { server?.counters ?? AccessCounters() }

    /// The endpoint bound last.
    public var lastEndpoint: String { server?.lastEndpoint ?? "" }

    /// For tests.
    var connections: Int { server?.connections ?? 0 }
    /// Connections that ended for what their client sent.
    var broken: UInt64 { server?.broken ?? 0 }

    /// The envelope is, from a REQ, an empty delimiter; it goes back as it came.
    private func reply(to frames: [[UInt8]], from origin: RouterSocket.Origin, of caller: Caller) {
        guard let request = frames.last else { return }
        let responder = Responder(self, Array(frames.dropLast()), origin)
        if request.count <= RequestServer.longestRequest, later(request, caller, responder) { return }
        responder.send([answerOrRefuse(request, of: caller)])
    }

    fileprivate func send(_ frames: [[UInt8]], to origin: RouterSocket.Origin) {
        server?.budget.made(bytes: frames.reduce(0) { $0 + $1.count })
        if server?.send(frames, to: origin) != true { undelivered += 1 }
    }

    fileprivate func refuse(_ frames: [[UInt8]], to origin: RouterSocket.Origin) {
        refused &+= 1
        send(frames, to: origin)
    }

    fileprivate func charge(bytes: Int) { server?.budget.made(bytes: bytes) }

    private func answerOrRefuse(_ request: [UInt8], of caller: Caller) -> [UInt8] {
        guard request.count > RequestServer.longestRequest else { return answer(request, caller) }
        malformed += 1
        refused &+= 1
        let limit = RequestServer.longestRequest
        return Reply.refused("a request of \(request.count) bytes; at most \(limit) are read").json.bytes
    }
}

/// The way back to whoever asked, for an answer that takes a while.
public struct Responder {
    private weak var server: RequestServer?
    private let envelope: [[UInt8]]
    private let origin: RouterSocket.Origin

    init(_ server: RequestServer, _ envelope: [[UInt8]], _ origin: RouterSocket.Origin) {
        self.server = server
        self.envelope = envelope
        self.origin = origin
    }

    /// Who asked, as what is paced: a client by its name, others by their connection.
    public func peerName(_ caller: Caller) -> String {
        switch caller {
        case .client(let client): "client \(client.name)"
        case .open, .stranger: "connection \(origin.descriptor)"
        }
    }

    /// Sends the answer's frames; once.
    public func send(_ frames: [[UInt8]]) { server?.send(envelope + frames, to: origin) }

    /// Likewise, where they say that the request is refused: counted.
    public func sendRefusal(_ frames: [[UInt8]]) { server?.refuse(envelope + frames, to: origin) }

    /// What was done for the answer besides what is sent, as bytes: the more it is, the fewer requests have their turn
    /// with this one.
    public func charge(bytes: Int) { server?.charge(bytes: bytes) }
}
