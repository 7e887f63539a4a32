// How a feed's protocol is asked again, and what the bus is told of it.
import Arbitration
import Basics
import Configuration
import Linux
import Messaging
import Wire

extension Feed {
    /// The feed's way to its re-request servers; `nil`: it has none.
    static func recovery(
        _ options: FeedOptions, _ usage: QuotaUsage, _ surroundings: FeedSurroundings,
        _ log: @escaping EventLog
    ) throws(BusError) -> (any FeedRecovery)? {
        guard !options.recover.servers.isEmpty else { return nil }
        do throws(SystemError) {
            switch options.feedProtocol {
            case .moldUDP64, .soupBinTCP:
                let servers = options.recover.servers.compactMap {
                    IPv4Endpoint($0.dropFirst("udp://".count))
                }
                return try RecoverySource(
                    surroundings.loop, servers: servers, lines: surroundings.lines, batch: surroundings.batch)
            case .pitch:
                return try GapProxySource(options.recover, after: usage.servers, surroundings, log: log)
            case .iexTP, .mdp3, .holdfast, .zeromq: return nil
            }
        } catch {
            throw .system(error)
        }
    }
}

extension RecoveryFigures {
    var values: [NamedValue] {
        [
            NamedValue("recovery_requests", .integer(Int64(clamping: requests))),
            NamedValue("recovered", .integer(Int64(clamping: recovered))),
            NamedValue("recovery_unanswered", .integer(Int64(clamping: unanswered))),
        ] + RecoveryFigures.values("recovery_refused", refused)
            + RecoveryFigures.values("recovery_rejected", rejected)
    }

    private static func values(_ prefix: String, _ counts: [String: UInt64]) -> [NamedValue] {
        counts.sorted { $0.key < $1.key }.map {
            NamedValue("\(prefix)_\($0.key)", .integer(Int64(clamping: $0.value)))
        }
    }

    /// What was rejected, for an entry of the journal.
    var rejections: String {
        guard !rejected.isEmpty else { return "" }
        let counts = rejected.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
        return " (rejected: \(counts.joined(separator: ", ")))"
    }
}
