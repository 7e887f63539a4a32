// The way of a topic's messages through the subscriptions, found once and kept by who publishes: most topics are held by
// one prefix or by none, and need not be looked up again until the prefixes are others.

/// Which prefix a topic's receivers hold. A new one knows nothing.
public struct TopicRoute: Hashable, Sendable {
    static let none = PrefixBook.Handle.max
    /// They have to be looked up each time.
    static let several = PrefixBook.Handle.max - 1

    /// Of the prefixes; 0: nothing is known.
    var edition: UInt32 = 0
    var prefix = TopicRoute.none

    public init() {}

    init(edition: UInt32) { self.edition = edition }
}
