// Where the NIC watcher tells how the links under the paths are, and the paths say which links they need.

/// A link under a path, as it is now.
public struct LinkUnderPath: Hashable, Sendable {
    public var condition: LinkCondition
    /// Another index under the same name is another device.
    public var index: Int32?

    public init(_ condition: LinkCondition, index: Int32?) {
        self.condition = condition
        self.index = index
    }
}

/// Joins the NIC watcher, which knows, and the path watcher, which needs to know.
public final class LinkBoard {
    /// The names of the links that paths leave through.
    public private(set) var required: [String] = []
    private var links: [String: LinkUnderPath] = [:]
    /// Called when other links are required.
    public var onRequired: () -> Void = {}
    /// Called with the name of a link that changed.
    public var onChange: (String) -> Void = { _ in }

    public init() {}

    public subscript(name: String) -> LinkUnderPath { links[name] ?? LinkUnderPath(.unknown, index: nil) }

    public func require(_ names: [String]) {
        let names = Array(Set(names)).sorted()
        guard names != required else { return }
        required = names
        links = links.filter { names.contains($0.key) }
        onRequired()
    }

    /// Says how a required link is.
    public func update(_ name: String, _ link: LinkUnderPath) {
        guard links[name] != link else { return }
        links[name] = link
        onChange(name)
    }
}
