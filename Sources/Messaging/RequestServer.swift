// The ROUTER of a daemon: one JSON frame in, one JSON frame out. A request that makes no sense is answered
// with what is wrong with it and disturbs nothing else.
import Basics
import Linux
public import Reactor
import Wire

/// Answers requests of DEALER and REQ clients.
public final class RequestServer {
    /// The longest request that is read; a longer one is answered with that.
    public static let longestRequest = 64 << 10
    /// Whoever sends more than this is hung up on.
    static let longestMessage = 1 << 20

    private let socket: Socket
    private var source: SocketSource?
    private let answer: ([UInt8]) -> [UInt8]
    /// Answers that could not be delivered: the client was gone or did not read.
    public private(set) var undelivered = 0
    /// Messages without a request in them.
    public private(set) var malformed = 0

    /// - Parameter answer: makes the reply to a request.
    public init(
        _ context: MessagingContext, _ loop: EventLoop, endpoints: [String],
        answer: @escaping ([UInt8]) -> [UInt8]
    ) throws(BusError) {
        self.answer = answer
        do throws(MessagingError) {
            socket = try Socket(context, .router)
            try socket.set(.maximumMessageSize(Int64(RequestServer.longestMessage)))
            try socket.set(.routerMandatory)
            for endpoint in endpoints { try socket.bind(endpoint) }
        } catch {
            throw .messaging(error)
        }
        do throws(SystemError) {
            source = try SocketSource(loop, socket, onError: { [unowned self] _ in malformed += 1 }) {
                [unowned self] message in reply(to: message)
            }
        } catch {
            throw .system(error)
        }
    }

    /// The endpoint bound last.
    public var lastEndpoint: String { socket.lastEndpoint }

    /// The envelope is the peer's identity and, from a REQ, an empty delimiter; it goes back as it came.
    private func reply(to message: Socket.Message) {
        guard message.frames.count >= 2, let request = message.frames.last else {
            malformed += 1
            return
        }
        let envelope = message.frames.dropLast()
        do throws(MessagingError) {
            if try !socket.send(frames: envelope + [answerOrRefuse(request)]) { undelivered += 1 }
        } catch {
            undelivered += 1
        }
    }

    private func answerOrRefuse(_ request: [UInt8]) -> [UInt8] {
        guard request.count > RequestServer.longestRequest else { return answer(request) }
        malformed += 1
        let limit = RequestServer.longestRequest
        return Reply.refused("a request of \(request.count) bytes; at most \(limit) are read").json.bytes
    }
}
