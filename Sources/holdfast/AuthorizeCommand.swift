// `holdfast authorize`: who may connect to this host from beyond it, and what they may do.
import ArgumentParser
import Configuration
import Glibc
import Linux
import Wire

struct AuthorizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "authorize",
        abstract: "Let a client connect to this host's daemons from beyond it.",
        discussion: """
            The client's key is what holdfast keygen printed over there. It may then read this host's health; \
            market data only under the prefixes given with --topic, with their feeds' control topics; and switch \
            feeds and mute subjects with --operate. A name that is on the list already gets the new key and the \
            new permissions. The daemons take the list on reload; who stays on it loses nothing.

            EXAMPLES
              sudo holdfast authorize desk-7 'KEY'
              sudo holdfast authorize algo-3 'KEY' --topic md/itch/ --topic md/quotes/EURUSD/
              sudo holdfast authorize ops 'KEY' --operate
              sudo holdfast authorize desk-7 --remove
              sudo systemctl reload holdfast-agent holdfast-gateway

            A key that begins with - goes behind --: holdfast authorize desk-7 -- '-KEY'.
            """)

    @Argument(help: "What the client is called in logs and in the list.") var name: String
    @Argument(help: ArgumentHelp("Its public key.", valueName: "key")) var key: String?
    @Option(
        name: .customLong("topic"),
        help: ArgumentHelp(
            "Market data that it may read: md/FEED/, md/FEED/INSTRUMENT/, or md/ for all; may be repeated.",
            valueName: "prefix"))
    var topics: [String] = []
    @Flag(help: "It may switch feeds and mute subjects.") var operate = false
    @Flag(help: "Take it off the list.") var remove = false
    @Option(help: ArgumentHelp("The list.", valueName: "file")) var file = ClientsFile.defaultPath

    func validate() throws {
        if remove {
            guard key == nil, topics.isEmpty, !operate else {
                throw ValidationError("--remove takes a name only")
            }
            return
        }
        guard let key else {
            throw ValidationError("name the client's key, or --remove to take it off the list")
        }
        guard PublicKey(key) != nil else {
            throw ValidationError(
                "\"\(key)\" is no public key: 40 characters, as holdfast keygen prints them; put it in single quotes"
            )
        }
        guard ClientsFile.isName(name) else {
            throw ValidationError(
                "\"\(name)\": a name has 1 to 64 bytes without spaces, slashes and control characters")
        }
        for topic in topics where !AllowedClient.isTopicPrefix(topic) {
            throw ValidationError(
                "--topic \"\(topic)\": must be md/FEED/, md/FEED/INSTRUMENT/ or md/, and end in /")
        }
    }

    func run() throws {
        let path = Files.resolved(file)
        do {
            // Two of us at a time would each lose what the other wrote.
            let lock = try Files.lock(folder: Files.folder(of: path))
            let changed = Result { try change(path) }
            _ = consume lock
            try changed.get()
        } catch let error as SystemError {
            complain("\(error)\(error.number == EACCES ? "; are you root?" : "")")
            throw ExitCode.cannotCreate
        } catch let error as ConfigurationError {
            complain("\(error)")
            throw error.cause == .invalid ? ExitCode.configuration : ExitCode.noInput
        }
    }

    private func change(_ path: String) throws {
        let list = try read(path)
        if remove { return try takeOff(path, list) }
        guard let key = key.flatMap({ PublicKey($0) }) else { throw ExitCode.usage }
        let client = AllowedClient(name: name, key: key, topics: topics, mayOperate: operate)
        let known = list?.allowed.clients.first { $0.name == name }
        if let other = list?.allowed[key], other.name != name {
            complain(
                "that key is \(other.name)'s; take it off first: holdfast authorize '\(other.name)' --remove")
            throw ExitCode.failure
        }
        try save(ClientsFile.text(list?.text, with: client, name: path), to: path)
        write("\(name): \(Self.permissions(of: client))\n")
        if let known { complain(Self.difference(known, client)) }
        tellToReload()
    }

    private func takeOff(_ path: String, _ list: (text: String, allowed: AllowList)?) throws {
        guard let list, list.allowed.clients.contains(where: { $0.name == name }) else {
            let names = (list?.allowed.clients ?? []).map(\.name).joined(separator: ", ")
            complain("\(path): there is no client \(name)\(names.isEmpty ? "" : "; there are \(names)")")
            throw ExitCode.failure
        }
        try save(ClientsFile.text(list.text, without: name, name: path), to: path)
        write("\(name): no longer authorized\n")
        tellToReload()
    }

    /// The list as it is; `nil`: there is none yet.
    private func read(_ path: String) throws(ConfigurationError) -> (text: String, allowed: AllowList)? {
        do throws(ConfigurationError) {
            // Refused like this by the daemons, too: a list that others can write.
            let allowed = try ClientsFile.read(path: path)
            return (try FileText.read(path: path), allowed)
        } catch  where error.cause == .missing {
            return nil
        }
    }

    private func save(_ text: String, to path: String) throws(SystemError) {
        let attributes = Files.attributes(of: path) ?? Files.Attributes(mode: 0o644)
        try Files.write(Array(text.utf8), to: path, attributes, replacing: true)
    }

    private func tellToReload() { complain("in force after: sudo systemctl reload \(Daemon.services)") }

    // MARK: - Words

    static func permissions(of client: AllowedClient) -> String {
        let topics = client.topics.isEmpty ? "" : " and \(client.topics.joined(separator: ", "))"
        return "may read this host's health" + topics + (client.mayOperate ? ", and may switch and mute" : "")
    }

    /// What a client had before and has no more, which somebody who only wanted a new key should see.
    static func difference(_ old: AllowedClient, _ new: AllowedClient) -> String {
        let lost =
            old.topics.filter { !new.topics.contains($0) }.map { "--topic \($0)" }
            + (old.mayOperate && !new.mayOperate ? ["--operate"] : [])
        let key = old.key == new.key ? "its key is the same" : "its key is a new one"
        return "\(new.name) was on the list: \(key)"
            + (lost.isEmpty ? "" : ", and it no longer has \(lost.joined(separator: " "))")
    }
}
