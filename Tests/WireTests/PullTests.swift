// What a replica asks and what it is answered, both ways, and what is refused of either.
import Basics
import Testing

@testable import Wire

@Suite struct PullTests {
    @Test func `a request is read as it was written`() throws {
        var request = PullRequest(feed: "itch", channel: nil, replica: "fra-2")
        #expect(try Request(parsing: Request.pull(request).json.bytes) == .pull(request))
        request.channel = 3
        request.place = PullRequest.Place(segment: 7, offset: 4711)
        request.messages = 12
        request.through = WallTime(nanoseconds: 1_767_355_200_123_456_000)
        #expect(try Request(parsing: Request.pull(request).json.bytes) == .pull(request))
        #expect(
            Request.pull(request).json.text
                == #"{"v":1,"request":"pull","feed":"itch","replica":"fra-2","channel":3,"segment":7,"offset":4711,"messages":12,"through":"2026-01-02T12:00:00.123456Z"}"#
        )
        #expect(!Request.pull(request).isOperation)
    }

    @Test func `an answer is read as it was written`() throws {
        let place = PullRequest.Place(segment: 7, offset: 4711)
        let bodies: [(UInt16?, PullReply.Body)] = [
            (nil, .channels([0, 3, 65535])), (nil, .channels([])),
            (3, .bytes(PulledBytes(place: place, size: 9000, header: .max, next: nil, behind: 5))),
            (3, .bytes(PulledBytes(place: place, size: 9000, header: 0, next: 9, behind: 0))),
            (3, .bytes(PulledBytes(place: place, size: 9000, header: nil, next: nil, behind: 0))),
            (3, .refused("gone", retryAfter: nil, first: 9)),
            (nil, .refused("too soon", retryAfter: .milliseconds(250), first: nil)),
        ]
        for (channel, body) in bodies {
            let reply = PullReply(feed: "itch", channel: channel, body)
            #expect(try PullReply(parsing: reply.json.bytes) == reply)
        }
    }

    @Test(
        arguments: [
            (#"{"v":1,"request":"pull","feed":"itch"}"#, "replica"),
            (#"{"v":1,"request":"pull","feed":"itch","replica":"b","channel":65536}"#, "channel"),
            (#"{"v":1,"request":"pull","feed":"itch","replica":"b","channel":1}"#, "segment"),
            (
                #"{"v":1,"request":"pull","feed":"itch","replica":"b","channel":1,"segment":1,"offset":-1}"#,
                "offset"
            ),
        ])
    func `a request that makes no sense names its key`(text: String, key: String) {
        #expect { try Request(parsing: Array(text.utf8)) } throws: { ($0 as? WireError)?.key == key }
    }

    @Test(
        arguments: [
            ("nonsense", ""), (#"{"v":1,"feed":"itch"}"#, "ok"),
            (#"{"v":1,"ok":true,"feed":"itch"}"#, "channels"),
            (#"{"v":1,"ok":true,"feed":"itch","channels":[70000]}"#, "channels"),
            (
                #"{"v":1,"ok":true,"feed":"itch","channel":0,"segment":0,"offset":0,"size":1,"header":1,"behind":0}"#,
                "segment"
            ),
            (
                #"{"v":1,"ok":true,"feed":"itch","channel":0,"segment":1,"offset":0,"size":1,"header":4294967296,"behind":0}"#,
                "header"
            ),
            (
                #"{"v":1,"ok":true,"feed":"itch","channel":0,"segment":2,"offset":0,"size":1,"header":1,"behind":0,"next":2}"#,
                "next"
            ),
        ])
    func `an answer that makes no sense names its key`(text: String, key: String) {
        #expect { try PullReply(parsing: Array(text.utf8)) } throws: { ($0 as? WireError)?.key == key }
    }
}
