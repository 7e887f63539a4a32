// A bounded ring: the newest elements, with the oldest overwritten. Its overflow policy is its purpose.

/// Keeps the newest `capacity` elements in order of arrival.
public struct Ring<Element> {
    private var storage: [Element] = []
    private var oldest = 0
    public let capacity: Int

    /// - Precondition: `capacity` is at least 1.
    public init(capacity: Int) {
        precondition(capacity >= 1, "a ring holds at least one element")
        self.capacity = capacity
    }

    public var count: Int { storage.count }
    public var isEmpty: Bool { storage.isEmpty }
    public var isFull: Bool { storage.count == capacity }

    /// Adds the newest element and returns the oldest one if it had to make room.
    @discardableResult
    public mutating func append(_ element: Element) -> Element? {
        guard isFull else {
            storage.append(element)
            return nil
        }
        let dropped = storage[oldest]
        storage[oldest] = element
        oldest = (oldest + 1) % capacity
        return dropped
    }

    /// Puts another element in the place of the newest; does nothing in an empty ring.
    public mutating func replaceLast(_ element: Element) {
        guard !isEmpty else { return }
        storage[(oldest + count - 1) % storage.count] = element
    }

    /// The element at `index`, 0 being the oldest.
    public subscript(index: Int) -> Element {
        get {
            precondition(index >= 0 && index < count, "ring index out of bounds")
            return storage[(oldest + index) % storage.count]
        }
        set {
            precondition(index >= 0 && index < count, "ring index out of bounds")
            storage[(oldest + index) % storage.count] = newValue
        }
    }

    public var first: Element? { isEmpty ? nil : self[0] }
    public var last: Element? { isEmpty ? nil : self[count - 1] }

    /// All elements, oldest first.
    public var elements: [Element] { (0..<count).map { self[$0] } }

    public mutating func removeAll() {
        storage.removeAll(keepingCapacity: true)
        oldest = 0
    }
}

extension Ring: Sendable where Element: Sendable {}
