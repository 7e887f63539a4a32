// Requests and replies, both ways, and requests with mistakes.
import Basics
import Testing
import Wire

@Suite struct RequestTests {
    @Test(
        arguments: [
            (.status, #"{"v":1,"request":"status"}"#),
            (
                .switch(feed: "itch", path: "B", hold: true),
                #"{"v":1,"request":"switch","feed":"itch","path":"B","hold":true}"#
            ),
            (
                .mute(Subject(.nic, "eth0"), for: .seconds(1800)),
                #"{"v":1,"request":"mute","subject":"nic/eth0","for_s":1800.0}"#
            ),
            (.release(feed: "itch"), #"{"v":1,"request":"release","feed":"itch"}"#),
            (.unmute(Subject(.nic, "eth0")), #"{"v":1,"request":"unmute","subject":"nic/eth0"}"#),
            (
                .history(Subject(.path, "isp-a"), last: .seconds(30)),
                #"{"v":1,"request":"history","subject":"path/isp-a","last_s":30.0}"#
            ),
            (
                .repair(
                    RepairRequest(
                        feed: "itch", channel: 2, epoch: .max, range: SequenceRange(5, 9), instrument: "AAPL",
                        after: RepairRequest.Place(segment: 3, offset: 81, record: 0))),
                #"{"v":1,"request":"repair","feed":"itch","channel":2,"epoch":"18446744073709551615","from":5,"to":9,"instrument":"AAPL","after":"3:81:0"}"#
            ),
            (
                .snapshot(
                    SnapshotRequest(
                        feed: "quotes", instruments: ["EURUSD", "USD/JPY"],
                        after: SnapshotRequest.Place(channel: 2, topic: 5000))),
                #"{"v":1,"request":"snapshot","feed":"quotes","instruments":["EURUSD","USD/JPY"],"after":"2:5000"}"#
            ),
            (
                .lease(
                    ClientLease(
                        name: "algo", expiresAfter: .seconds(3),
                        positions: [
                            ClientLease.Position(feed: "itch", channel: 2, .sequence(4711, epoch: .max)),
                            ClientLease.Position(feed: "quotes", .published(99, run: 7)),
                        ], missed: 5)),
                #"{"v":1,"request":"lease","name":"algo","expires_after_s":3.0,"missed":5,"positions":[{"feed":"itch","channel":2,"epoch":"18446744073709551615","sequence":4711},{"feed":"quotes","channel":0,"run":7,"published":99}]}"#
            ),
            (
                .snapshot(SnapshotRequest(feed: "quotes")),
                #"{"v":1,"request":"snapshot","feed":"quotes"}"#
            ),
        ] as [(Request, String)])
    func `each request is written and read`(request: Request, text: String) throws {
        #expect(request.json.text == text)
        #expect(try Request(parsing: text.utf8) == request)
    }

    @Test func `a switch without hold does not hold`() throws {
        let text = #"{"v":1,"request":"switch","feed":"itch","path":"B"}"#
        #expect(try Request(parsing: text.utf8) == .switch(feed: "itch", path: "B", hold: false))
    }

    @Test(arguments: [
        ("{}", #""v" is missing, expected a whole number from 0, below 2^53"#),
        ("[]", "an array"),
        ("nonsense", #"not JSON (offset 0: expected null)"#),
        (
            #"{"v":1,"request":"reboot"}"#,
            #""request" is "reboot", expected one of status, history, repair, pull, snapshot, lease, switch, release, mute, unmute"#
        ),
        (#"{"v":1}"#, #""request" is missing"#),
        (
            #"{"v":1,"request":"switch","feed":"itch"}"#,
            #""path" is missing, expected a text of 1 to 255 bytes"#
        ),
        (
            #"{"v":1,"request":"switch","feed":"f","path":"B","hold":1}"#,
            #""hold" is 1, expected true or false"#
        ),
        (
            #"{"v":1,"request":"lease","expires_after_s":3}"#,
            #""name" is missing, expected a text of 1 to 255"#
        ),
        (
            #"{"v":1,"request":"lease","name":"a","expires_after_s":4000}"#,
            #""expires_after_s" is 4000, expected 0, or a number from 0.5 to 3600.0"#
        ),
        (
            #"{"v":1,"request":"lease","name":"a","expires_after_s":0.4}"#,
            #""expires_after_s" is 0.4, expected 0, or a number from 0.5 to 3600.0"#
        ),
        (
            #"{"v":1,"request":"lease","name":"a","expires_after_s":-1}"#,
            #""expires_after_s" is -1, expected 0, or a number from 0.5 to 3600.0"#
        ),
        (
            #"{"v":1,"request":"lease","name":"a","expires_after_s":3,"positions":[{"feed":"f","sequence":1}]}"#,
            #""positions[0].epoch" is missing, expected the header's epoch"#
        ),
        (
            #"{"v":1,"request":"lease","name":"a","expires_after_s":3,"positions":[7]}"#,
            #""positions[0].feed" is missing"#
        ),
        (#"{"v":1,"request":"mute","subject":"eth0","for_s":5}"#, #""subject" is "eth0""#),
        (#"{"v":1,"request":"mute","subject":"nic/eth0","for_s":-5}"#, #""for_s" is -5, expected a number"#),
        (
            #"{"v":1,"request":"repair","feed":"itch","epoch":"7","from":9,"to":5}"#,
            #""to" is 5, expected a sequence that is not below from"#
        ),
        (#"{"v":1,"request":"repair","feed":"itch","epoch":1.5,"from":1,"to":5}"#, #""epoch" is 1.5"#),
        (#"{"v":1,"request":"repair","feed":"itch","epoch":"7","from":-1,"to":5}"#, #""from" is -1"#),
        (
            #"{"v":1,"request":"repair","feed":"itch","channel":65536,"epoch":"7","from":1,"to":5}"#,
            #""channel""#
        ),
        (
            #"{"v":1,"request":"repair","feed":"itch","epoch":"7","from":1,"to":5,"after":"3:-1:0"}"#,
            #""after""#
        ),
        (#"{"v":1,"request":"mute","subject":"nic/eth0","for_s":1e99}"#, #""for_s" is 1e+99"#),
    ])
    func `a mistake is named with what would be right`(text: String, message: String) {
        #expect {
            try Request(parsing: text.utf8)
        } throws: { error in
            "\(error)".contains(message)
        }
    }

    @Test func `replies are written and read`() throws {
        let done = Reply.done([JSON.Member("moved", .bool(true))])
        #expect(done.json.text == #"{"v":1,"ok":true,"moved":true}"#)
        #expect(try Reply(json: done.json) == done)
        let refused = Reply.refused("no feed \"x\"; there are itch, quotes")
        #expect(try Reply(json: refused.json) == refused)
        #expect(throws: WireError.self) { try Reply(json: .object([JSON.Member("v", .integer(1))])) }
    }

    @Test func `the status document travels as a reply`() throws {
        let document = StatusDocument(stamp: MessageTests.stamp, states: [MessageTests.state])
        let reply = Reply.document(document.json)
        #expect(try StatusDocument(json: reply.json) == document)
    }
}
