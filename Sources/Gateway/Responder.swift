// How the desks say no, or not yet.
import Basics
import Messaging
import Wire

extension Responder {
    /// Not now, but soon.
    func postpone(_ wait: Duration) {
        refuse(
            "too soon: ask again after \(wait.inSeconds) s",
            [JSON.Member("retry_after_s", .number(wait.inSeconds))])
    }

    func refuse(_ reason: String, _ more: [JSON.Member] = []) {
        let members = Reply.refused(reason).json.members ?? []
        send([JSON.object(members + more).bytes])
    }
}
