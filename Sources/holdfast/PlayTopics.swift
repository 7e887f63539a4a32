// The topics of a played stream by name, learnt as the stream shows them.
import Basics
import FeedProtocols

struct PlayTopics {
    private var names: [[UInt8]] = []
    private var indexOfName: [[UInt8]: Int] = [:]

    private mutating func learn(_ stream: any PlayedStream) {
        while names.count < stream.topicCount {
            let name = stream.topic(names.count)
            indexOfName[name] = names.count
            names.append(name)
        }
    }

    mutating func name(of index: Int, in stream: any PlayedStream) -> [UInt8] {
        learn(stream)
        return names[index]
    }

    /// The topics that a subscription to `prefix` matches.
    mutating func indices(under prefix: ArraySlice<UInt8>, in stream: any PlayedStream) -> [Int] {
        learn(stream)
        if let exact = indexOfName[Array(prefix)] { return [exact] }
        // A name holds no slash but its last byte, so a prefix that ends in one matches no other topic.
        guard prefix.last != UInt8(ascii: "/") else { return [] }
        return names.indices.filter { names[$0].starts(with: prefix) }
    }
}
