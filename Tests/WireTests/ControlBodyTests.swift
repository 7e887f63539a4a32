// The bodies of control frames, both ways, and hostile ones.
import Basics
import Testing
import Wire

@Suite struct ControlBodyTests {
    @Test(
        arguments: [
            .heartbeat(published: 1 << 40, gaps: 7, interval: .milliseconds(100), first: 9, isNamed: true),
            .gap(SequenceRange(5, 9), .failover, instrument: nil),
            .gap(SequenceRange(0, .max), .notRecovered, instrument: "ÄPFEL"),
            .state(path: "A", reason: "3 of 3 targets silent"),
            .state(path: nil, reason: ""),
        ] as [ControlBody])
    func `each body is written and read`(body: ControlBody) throws {
        #expect(try ControlBody(kind: body.kind, parsing: body.bytes[...]) == body)
    }

    @Test func `the bodies lie as in the document's table`() {
        #expect(
            ControlBody.heartbeat(
                published: 258, gaps: 1, interval: .milliseconds(100), first: 513, isNamed: true
            ).bytes
                == [2, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 1])
        #expect(
            ControlBody.gap(SequenceRange(1, 2), .sessionChange, instrument: "AB").bytes
                == [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 2, 0x41, 0x42])
        #expect(ControlBody.state(path: "A", reason: "").bytes == [1, 0x41, 0])
    }

    @Test func `long texts are cut at a whole character`() throws {
        let body = ControlBody.state(path: nil, reason: String(repeating: "é", count: 200))
        let read = try ControlBody(kind: .state, parsing: body.bytes[...])
        #expect(read == .state(path: nil, reason: String(repeating: "é", count: 127)))
    }

    @Test func `intervals beyond 32 bits of milliseconds are clamped`() throws {
        let body = ControlBody.heartbeat(
            published: 0, gaps: 0, interval: .seconds(Int64.max), first: 0, isNamed: false)
        #expect(body.bytes[16..<20] == [255, 255, 255, 255])
    }

    @Test
    func `what a later version adds is ignored, and a heartbeat of an earlier one has no first sequence`()
        throws
    {
        let gap = ControlBody.gap(SequenceRange(5, 9), .failover, instrument: "A")
        #expect(try ControlBody(kind: .gap, parsing: (gap.bytes + [1, 2])[...]) == gap)
        let beat = ControlBody.heartbeat(
            published: 1, gaps: 2, interval: .milliseconds(3), first: 0, isNamed: false)
        #expect(try ControlBody(kind: .heartbeat, parsing: beat.bytes[..<20]) == beat)
        #expect(try ControlBody(kind: .heartbeat, parsing: beat.bytes[..<28]) == beat)
        #expect(try ControlBody(kind: .heartbeat, parsing: (beat.bytes + [9])[...]) == beat)
    }

    @Test func `hostile bodies are refused with an offset`() {
        func problem(_ kind: FrameKind, _ bytes: [UInt8]) -> FrameError.Problem? {
            do throws(FrameError) {
                _ = try ControlBody(kind: kind, parsing: bytes[...])
                return nil
            } catch {
                return error.problem
            }
        }
        let gap = ControlBody.gap(SequenceRange(5, 9), .failover, instrument: "A").bytes
        var descending = gap
        descending[8] = 4
        var reason = gap
        reason[16] = 9
        #expect(problem(.gap, descending) == .descendingGap)
        #expect(problem(.gap, reason) == .gapReason(9))
        #expect(problem(.gap, Array(gap.dropLast())) == .truncated(wanted: 1, left: 0))
        #expect(problem(.state, [1, 0xFF, 0]) == .notUTF8)
        #expect(problem(.state, [255]) == .truncated(wanted: 255, left: 0))
        #expect(problem(.heartbeat, []) == .truncated(wanted: 8, left: 0))
        #expect(
            problem(.heartbeat, [UInt8](repeating: 0, count: 21)) == .truncated(wanted: 8, left: 1))
        #expect(problem(.data, []) == .kind(1))
    }
}
