// The ROUTER of a daemon: one JSON frame in, one JSON frame out. A request that makes no sense is answered
// with what is wrong with it and disturbs nothing else.
import Basics
import Linux
public import Reactor
public import Wire

/// Answers requests of DEALER and REQ clients.
public final class RequestServer {
    /// The longest request that is read; a longer one is answered with that.
    public static let longestRequest = 64 << 10
    /// Whoever sends a longer frame is hung up on. A stranger can make libzmq hold as much for the time of a
    /// handshake. How many frames a message may have libzmq does not bound: who is let in, and never ends one, is held to
    /// the memory of the service alone.
    static let longestMessage = 128 << 10
    /// Replies that may wait for one client, who does not read; one has a little more than 1 MiB at most. A replica asks
    /// for each of its channels at once.
    public static let mostReplies: Int32 = 64
    /// Requests of one client that may wait to be read.
    static let mostRequests: Int32 = 64

    private var server: ServerSocket?
    private let answer: ([UInt8], Caller) -> [UInt8]
    private let later: ([UInt8], Caller, Responder) -> Bool
    /// Answers that could not be delivered: the client was gone or did not read.
    public private(set) var undelivered = 0
    /// Messages without a request in them.
    public private(set) var malformed = 0
    /// Requests that were refused, but for those that `answer` refused.
    private(set) var refused: UInt64 = 0

    /// - Parameters:
    ///   - later: takes on a request that is answered later, and says whether it does.
    ///   - answer: makes the reply to a request of a client. (Strangers have none.)
    public init(
        _ context: MessagingContext, _ loop: EventLoop, at endpoints: ServerEndpoints, log: LimitedLog,
        later: @escaping ([UInt8], Caller, Responder) -> Bool = { _, _, _ in false },
        answer: @escaping ([UInt8], Caller) -> [UInt8]
    ) throws(BusError) {
        self.answer = answer
        self.later = later
        server = try ServerSocket(
            context, loop, .router, for: .request, at: endpoints, log: log,
            configure: { socket throws(MessagingError) in
                try socket.set(.maximumMessageSize(Int64(RequestServer.longestMessage)))
                try socket.set(.routerMandatory)
                // libzmq counts messages, not bytes, and holds these for each client. With `routerMandatory` a
                // reply above the mark is refused, and counted here.
                try socket.set(.sendHighWaterMark(RequestServer.mostReplies))
                try socket.set(.receiveHighWaterMark(RequestServer.mostRequests))
            }
        ) { [unowned self] message, caller in reply(to: message, of: caller) }
    }

    public var counters: AccessCounters { server?.counters ?? AccessCounters() }

    /// The endpoint bound last.
    public var lastEndpoint: String { server?.lastEndpoint ?? "" }

    /// The envelope is the peer's identity and, from a REQ, an empty delimiter; it goes back as it came.
    private func reply(to message: Socket.Message, of caller: Caller) {
        guard message.frames.count >= 2, let request = message.frames.last else {
            malformed += 1
            return
        }
        server?.budget.read(bytes: request.count)
        let envelope = Array(message.frames.dropLast())
        if request.count <= RequestServer.longestRequest,
            later(request, caller, Responder(self, envelope, connection: message.connection))
        {
            return
        }
        send(envelope + [answerOrRefuse(request, of: caller)])
    }

    fileprivate func send(_ frames: [[UInt8]]) {
        server?.budget.made(bytes: frames.reduce(0) { $0 + $1.count })
        do throws(MessagingError) {
            if try server?.socket.send(frames: frames) != true { undelivered += 1 }
        } catch {
            undelivered += 1
        }
    }

    fileprivate func refuse(_ frames: [[UInt8]]) {
        refused &+= 1
        send(frames)
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
    private let connection: Int32

    init(_ server: RequestServer, _ envelope: [[UInt8]], connection: Int32) {
        self.server = server
        self.envelope = envelope
        self.connection = connection
    }

    /// Who asked, as what is paced: a client by its name, others by their connection.
    public func peerName(_ caller: Caller) -> String {
        switch caller {
        case .client(let client): "client \(client.name)"
        case .open, .stranger: "connection \(connection)"
        }
    }

    /// Sends the answer's frames; once.
    public func send(_ frames: [[UInt8]]) { server?.send(envelope + frames) }

    /// Likewise, where they say that the request is refused: counted.
    public func sendRefusal(_ frames: [[UInt8]]) { server?.refuse(envelope + frames) }

    /// What was done for the answer besides what is sent, as bytes: the more it is, the fewer requests have their turn
    /// with this one.
    public func charge(bytes: Int) { server?.charge(bytes: bytes) }
}
