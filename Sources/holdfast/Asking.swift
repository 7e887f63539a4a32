// One request to one or several daemons, with a time limit for all of them together.
import ArgumentParser
import Basics
import Linux
import Messaging
import Reactor
import Terminal
import Wire

/// What became of a request.
enum Outcome {
    case answered(Reply)
    /// Nothing within the time limit.
    case silent
    /// An answer that this version cannot read, and why.
    case unreadable(String)
}

extension Outcome {
    /// What came with the word that it is done.
    /// - Throws: how the command ends if it is not; what there is to say is said.
    func done(by endpoint: String) throws -> [JSON.Member] {
        switch self {
        case .answered(.done(let members)): return members
        case .answered(.refused(let reason)):
            complain(reason.printable)
            throw ExitCode.failure
        case .silent:
            complain("\(endpoint): no answer; \(Advice.forSilence(of: endpoint))")
            throw ExitCode.unavailable
        case .unreadable(let reason): throw Outcome.cannotRead(reason, from: endpoint)
        }
    }

    /// Says that an answer cannot be read, and gives how the command ends.
    static func cannotRead(_ reason: String, from endpoint: String) -> ExitCode {
        complain("\(endpoint): an answer that this version cannot read: \(reason)")
        return .protocolError
    }
}

enum Asking {
    /// Who has not answered after so long is named, before anybody thinks that nothing happens.
    private static let noticeAfter: Duration = .milliseconds(500)

    /// Asks each target and waits for all answers, `limit` at most. Outcomes come in the targets' order.
    static func ask(
        _ request: Request, of targets: [Target], within limit: Duration
    ) throws -> [(endpoint: String, outcome: Outcome)] {
        let loop = try EventLoop()
        let context = MessagingContext()
        var outcomes = [Outcome](repeating: .silent, count: targets.count)
        var waiting = targets.count
        var requesters: [Requester] = []
        for (index, target) in targets.enumerated() {
            let requester: Requester
            do throws(BusError) {
                requester = try Requester(
                    context, loop, endpoint: target.endpoint, security: target.security
                ) { bytes in
                    guard case .silent = outcomes[index] else { return }
                    outcomes[index] = read(bytes)
                    waiting -= 1
                    if waiting == 0 { loop.exit(0) }
                }
            } catch {
                complain("\(error); an endpoint is ipc:///PATH or tcp://ADDRESS:PORT")
                throw ExitCode.usage
            }
            _ = try requester.send(request.json.bytes)
            requesters.append(requester)
        }
        let timer = try Timer(loop) { loop.exit(0) }
        timer.arm(at: Clock.monotonic + limit)
        let notice = try Timer(loop) {
            for (index, target) in targets.enumerated() {
                guard case .silent = outcomes[index] else { continue }
                complain("waiting for \(target.endpoint), \(limit.inSeconds) s at most")
            }
        }
        if limit > noticeAfter { notice.arm(at: Clock.monotonic + noticeAfter) }
        if waiting > 0 { _ = try loop.run() }
        withExtendedLifetime((timer, notice, requesters)) {}
        return zip(targets, outcomes).map { (endpoint: $0.endpoint, outcome: $1) }
    }

    private static func read(_ bytes: [UInt8]) -> Outcome {
        do throws(JSONError) {
            let json = try JSON(parsing: bytes)
            do throws(WireError) {
                return .answered(try Reply(json: json))
            } catch {
                return .unreadable("\(error)")
            }
        } catch {
            return .unreadable("not JSON: \(error)")
        }
    }
}
