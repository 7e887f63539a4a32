// Where the engines of the simulation publish.
import Arbitration
import Gateway

/// Hands frames on without keeping whom it hands them to, since that keeps the engine, and the engine keeps its sink.
final class Outlet: FrameSink {
    /// The connection: the only one that it goes to; `nil`: all who hold its topic.
    private let publish: ([UInt8], Int32?) -> Void
    /// A connection is being shown where topics stand, or that is done.
    private let shows: (Int32, Bool) -> Void

    /// - Parameter shows: for who sends markers.
    init(
        shows: @escaping (Int32, Bool) -> Void = { _, _ in }, _ publish: @escaping ([UInt8], Int32?) -> Void
    ) {
        (self.shows, self.publish) = (shows, publish)
    }

    func publish(_ frame: [UInt8], topicLength: Int, by route: TopicRoute) -> TopicRoute {
        publish(frame, nil)
        return route
    }

    func send(_ frame: [UInt8], to connection: Int32) { publish(frame, connection) }

    func shows(to connection: Int32) { shows(connection, true) }
    func shown(to connection: Int32) { shows(connection, false) }
}
