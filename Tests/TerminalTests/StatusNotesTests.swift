// What stands below the table of `holdfast status`.
import Basics
import Terminal
import Testing

@Suite struct StatusNotesTests {
    private func lines(_ text: String) throws -> [String] {
        StatusNotes.lines(of: try JSON(parsing: Array(text.utf8)), at: noon)
    }

    @Test func `a daemon whose neighbours are well needs no notes`() throws {
        #expect(
            try lines(
                #"{"agents":[{"publish":"ipc:///a","liveness":"alive","trouble":null}],"refused":[],"report_to":[{"endpoint":"tcp://10.0.0.9:5570","connected":true,"trouble":null}]}"#
            ) == [])
        #expect(try lines(#"{}"#) == [])
        #expect(try lines(#"{"agents":7,"refused":[3,{}],"report_to":[null]}"#).count <= 1)
    }

    @Test func `agents and collectors that are not there are named with what is wrong`() throws {
        #expect(
            try lines(
                #"{"agents":[{"publish":"tcp://10.0.0.1:5555","liveness":"never heard","trouble":"tcp://10.0.0.1:5555 refuses our key"},{"publish":"ipc:///a","liveness":"expired","trouble":null}],"report_to":[{"endpoint":"tcp://10.0.0.9:5570","connected":false,"trouble":null}]}"#
            ) == [
                "agent tcp://10.0.0.1:5555 refuses our key", "agent ipc:///a: expired",
                "collector tcp://10.0.0.9:5570: not connected",
            ])
    }

    @Test func `refused subscriptions are told with whose they were, the latest ones`() throws {
        let refusal =
            #"{"client":"algo","address":"10.0.0.7","prefix":"md/itch/HF3/","error":"the client may read md/itch/HF1/","at":"2026-01-02T00:00:00.000000Z"}"#
        let told = try lines(
            #"{"refused":[\#(Array(repeating: refusal, count: 7).joined(separator: ","))]}"#)
        #expect(told.count == 6)
        #expect(
            told.first?.hasPrefix(
                "subscription \"md/itch/HF3/\" of client algo: the client may read md/itch/HF1/, ") == true)
        #expect(told.last == "and 2 more refused subscriptions, in --json and in the log")
    }

    @Test func `nothing that a client named reaches the terminal as an escape`() throws {
        let told = try lines(#"{"refused":[{"prefix":"md/\u001b[2J","error":"no","client":null}]}"#)
        #expect(told == ["subscription \"md/?[2J\" of a client of the host: no"])
    }
}
