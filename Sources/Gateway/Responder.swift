// How the desks say no, or not yet.
import Basics
import Messaging
import Wire

extension Responder {
    /// Not now, but soon. That is no refusal: each desk counts it by itself.
    func postpone(_ wait: Duration, because reason: String = "too soon") {
        send([
            Responder.refusal(
                "\(reason): ask again after \(wait.inSeconds) s",
                [JSON.Member("retry_after_s", .number(wait.inSeconds))])
        ])
    }

    func refuse(_ reason: String, _ more: [JSON.Member] = []) {
        sendRefusal([Responder.refusal(reason, more)])
    }

    private static func refusal(_ reason: String, _ more: [JSON.Member]) -> [UInt8] {
        JSON.object((Reply.refused(reason).json.members ?? []) + more).bytes
    }
}
