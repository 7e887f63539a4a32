// Where the engines of the simulation publish.
import Arbitration
import Gateway

/// Hands frames on without keeping whom it hands them to, since that keeps the engine, and the engine keeps its sink.
final class Outlet: FrameSink {
    private let publish: ([UInt8]) -> Void

    init(_ publish: @escaping ([UInt8]) -> Void) { self.publish = publish }

    func publish(_ frame: [UInt8], topicLength: Int, by route: TopicRoute) -> TopicRoute {
        publish(frame)
        return route
    }
}
