// States and times that the suites of this module share.
import Basics
import Terminal
import Wire

let noon = WallTime(nanoseconds: 1_795_348_800_000_000_000)
let plain = Palette(isColoured: false)

func state(
    _ subject: String, _ status: Status, _ reason: String, sinceSeconds: Int64 = 5, host: String = "fra-1",
    cause: String? = nil, previous: Status? = nil
) -> StateMessage {
    StateMessage(
        stamp: Stamp(host: host, incarnation: Incarnation(startedAt: noon), change: 1, at: noon),
        subject: Subject(parsing: subject) ?? Subject(.check, subject), status: status,
        since: noon + .seconds(-sinceSeconds), reason: reason, previous: previous,
        cause: cause.flatMap { Subject(parsing: $0) }, detectedAt: noon)
}
