// The log of a daemon: to the journal or to standard error, each entry with the host and the incarnation.
import Linux
import Logging
import Wire

struct DaemonLog {
    private let handler: JournalHandler
    let logger: Logger

    /// - Parameter host: the name on the bus; `nil`: the machine's own.
    init(_ name: String, host: String?, _ incarnation: Incarnation) {
        self.init(name, JournalHandler(identifier: name, output: .detected), host, incarnation)
    }

    private init(_ name: String, _ plain: JournalHandler, _ host: String?, _ incarnation: Incarnation) {
        var handler = plain
        handler[metadataKey: "host"] = "\(host ?? hostName())"
        handler[metadataKey: "incarnation"] = "\(incarnation)"
        self.handler = handler
        logger = Logger(label: name) { [handler] _ in handler }
    }

    /// The same log under another name of the host.
    func of(_ host: String?, _ incarnation: Incarnation) -> DaemonLog {
        DaemonLog(logger.label, handler, host, incarnation)
    }

    /// Tells of entries that did not reach the journal, once it takes any again.
    func tellLost() { handler.tellLost() }
}
