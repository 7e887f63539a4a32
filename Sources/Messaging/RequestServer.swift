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
    /// Whoever sends more than this is hung up on. A stranger can make libzmq hold as much for the time of a
    /// handshake.
    static let longestMessage = 128 << 10

    private var server: ServerSocket?
    private let answer: ([UInt8], Caller) -> [UInt8]
    /// Answers that could not be delivered: the client was gone or did not read.
    public private(set) var undelivered = 0
    /// Messages without a request in them.
    public private(set) var malformed = 0

    /// - Parameter answer: makes the reply to a request of a client. (Strangers have none.)
    public init(
        _ context: MessagingContext, _ loop: EventLoop, at endpoints: ServerEndpoints, log: LimitedLog,
        answer: @escaping ([UInt8], Caller) -> [UInt8]
    ) throws(BusError) {
        self.answer = answer
        server = try ServerSocket(
            context, loop, .router, for: .request, at: endpoints, log: log,
            configure: { socket throws(MessagingError) in
                try socket.set(.maximumMessageSize(Int64(RequestServer.longestMessage)))
                try socket.set(.routerMandatory)
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
        let envelope = message.frames.dropLast()
        let answer = answerOrRefuse(request, of: caller)
        do throws(MessagingError) {
            if try server?.socket.send(frames: envelope + [answer]) != true { undelivered += 1 }
        } catch {
            undelivered += 1
        }
    }

    private func answerOrRefuse(_ request: [UInt8], of caller: Caller) -> [UInt8] {
        guard request.count > RequestServer.longestRequest else { return answer(request, caller) }
        malformed += 1
        let limit = RequestServer.longestRequest
        return Reply.refused("a request of \(request.count) bytes; at most \(limit) are read").json.bytes
    }
}
