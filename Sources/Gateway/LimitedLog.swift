// A logger that a stranger's input cannot flood: so many lines in a while, then how many were left out.
import Basics
import Logging

struct LimitedLog {
    static let lines = 20
    static let window: Duration = .seconds(10)

    private let logger: Logger
    private var windowStart: Instant?
    private var used = 0
    private var leftOut = 0

    init(_ logger: Logger) { self.logger = logger }

    mutating func warning(_ message: String, _ fields: Logger.Metadata = [:], at now: Instant) {
        if windowStart.map({ now - $0 >= LimitedLog.window }) ?? true {
            if leftOut > 0 { logger.warning("\(leftOut) more of such messages were left out") }
            windowStart = now
            used = 0
            leftOut = 0
        }
        guard used < LimitedLog.lines else {
            leftOut += 1
            return
        }
        used += 1
        logger.warning("\(message)", metadata: fields)
    }
}
