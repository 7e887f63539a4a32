// Frames that came together, taken one after the other.
import Testing
import Wire

@Suite struct ArrivedFramesTests {
    @Test func `frames are taken in their order, and what is left is known`() {
        var frames = ArrivedFrames([1..<3, 4..<4, 5..<6], in: [0, 1, 2, 3, 4, 5])
        var steps = ["\(frames.count) of \(frames.size) bytes"]
        while let place = frames.next() {
            steps.append("\(place): \(frames.count) of \(frames.size) bytes")
        }
        let isMore = frames.next() != nil
        let (isEmpty, left) = (frames.isEmpty, frames.count)
        #expect(
            steps == [
                "3 of 3 bytes", "1..<3: 2 of 1 bytes", "4..<4: 1 of 1 bytes", "5..<6: 0 of 0 bytes",
            ])
        #expect(!isMore && isEmpty && left == 0)
    }

    @Test func `frames from different places are put together`() {
        var frames = ArrivedFrames(copying: [[1, 2], [], [3]] as [[UInt8]])
        var taken: [[UInt8]] = []
        while let place = frames.next() { taken.append(Array(frames.bytes[place])) }
        #expect(taken == [[1, 2], [], [3]])
    }

    @Test func `what they were made from can be used again`() {
        var frames = ArrivedFrames([0..<1], in: [9])
        _ = frames.next()
        let (places, bytes) = frames.emptied()
        #expect(places == [0..<1] && bytes == [9])
    }
}
