// What a health book keeps of one subject.
import Basics

extension HealthBook {
    struct Entry: Sendable {
        /// As last changed; the values are the newest ones.
        var message: StateMessage
        let topic: String
        let sampleTopic: String
        var dependsOn: [Subject]
        /// When the status last changed.
        var statusAt: Instant
        /// Since when its failure can explain another's; `nil`: it cannot.
        var explainsSince: Instant?
        /// When it last stopped explaining.
        var recoveredAt: Instant?
        var repeatAt: Instant
        /// Another publisher's subject: never published here.
        var isHearsay = false

        init(first report: Report, stamp: Stamp, at now: Instant) {
            message = StateMessage(
                stamp: stamp, subject: report.subject, status: report.status,
                since: report.occurredAt ?? report.detectedAt,
                reason: report.reason.cut(toBytes: longestReason),
                detectedAt: report.detectedAt, happenedAt: report.occurredAt, values: report.values)
            topic = message.topic.text
            sampleTopic = Topic.sample(host: stamp.host, subject: report.subject).text
            dependsOn = report.dependsOn
            statusAt = now
            explainsSince = report.status.isFailure ? now : nil
            repeatAt = now
        }

        /// Takes the next report in; true if its status or reason is another one.
        mutating func take(_ report: Report, at now: Instant) -> Bool {
            let reason = report.reason.cut(toBytes: longestReason)
            let statusIsNew = report.status != message.status
            let isNews = statusIsNew || reason != message.reason
            if statusIsNew { turn(to: report, at: now) }
            if isNews {
                message.reason = reason
                message.detectedAt = report.detectedAt
                message.happenedAt = report.occurredAt
            }
            message.values = report.values
            dependsOn = report.dependsOn
            return isNews
        }

        private mutating func turn(to report: Report, at now: Instant) {
            message.previous = message.status
            message.status = report.status
            message.since = report.occurredAt ?? report.detectedAt
            statusAt = now
            // What was critical and cannot be seen any more still explains; what was never seen does not.
            let stillFailed = report.status == .unknown && message.previous == .critical
            if report.status.isFailure || stillFailed {
                explainsSince = explainsSince ?? now
            } else if explainsSince != nil {
                explainsSince = nil
                recoveredAt = now
            }
        }

        func message(sentAt wall: WallTime) -> StateMessage {
            var message = message
            message.stamp.at = wall
            return message
        }

        func publication(wall: WallTime) -> Action {
            .publish(topic: topic, payload: message(sentAt: wall).json)
        }

        /// The tombstone, still to be stamped.
        func retired(wall: WallTime) -> StateMessage {
            var last = message
            last.previous = message.status
            last.status = .unknown
            last.since = wall
            last.reason = "no longer watched"
            last.cause = nil
            last.detectedAt = wall
            last.happenedAt = nil
            last.values = []
            last.before = nil
            last.isGone = true
            return last
        }
    }
}

extension Status {
    /// Whether it explains what depends on the subject.
    fileprivate var isFailure: Bool {
        switch self {
        case .warning, .critical: true
        case .ok, .unknown: false
        }
    }
}
