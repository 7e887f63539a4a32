// `holdfast keygen`: makes our key, or shows the public half of the one that is there.
import ArgumentParser
import Configuration
import Glibc
import Linux
import Messaging
import Wire

struct KeygenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keygen",
        abstract: "Make a key for what goes beyond this host, and print its public half.",
        discussion: """
            The file holds both halves and is readable by its owner only; made by root, it belongs to the user \
            holdfast, as whom the daemons run. Only the public half is printed: 40 characters, for the shell in \
            single quotes. Daemons take a new key on reload; who connects to them then needs its public half.

            EXAMPLES
              sudo holdfast keygen               this host's key, \(KeyFile.defaultPath)
              sudo holdfast keygen --show        its public half again
              sudo holdfast keygen --replace     a new one
              holdfast keygen                    your own, ~/.config/holdfast/client.key
            """)

    @Flag(help: "Put the new key in the place of the one that is there.") var replace = false
    @Flag(help: "Make nothing; print the public half of the key that is there.") var show = false
    @Argument(
        help: ArgumentHelp(
            "The file (default: \(KeyPlace.description)).",
            valueName: "file"))
    var file: String?

    func validate() throws {
        if replace && show { throw ValidationError("--replace and --show exclude each other") }
    }

    func run() throws {
        let path = file ?? KeyPlace.ofThisUser
        let keys = try show ? read(path) : make(path)
        write("\(keys.publicKey)\n")
        guard !show else { return }
        complain("the key is in \(path); above is its public half, for the shell in single quotes")
        if KeyPlace.isRoot {
            complain("for this host's daemons: sudo systemctl reload \(Daemon.services)")
        } else {
            complain("on each host that shall let you in: sudo holdfast authorize NAME 'KEY'")
        }
    }

    private func read(_ path: String) throws -> KeyPair {
        do throws(ConfigurationError) {
            return try KeyFile.read(path: path, isPair: \.isConsistent)
        } catch {
            complain("\(error)")
            throw error.cause == .invalid ? ExitCode.configuration : ExitCode.noInput
        }
    }

    private func make(_ path: String) throws -> KeyPair {
        let keys: KeyPair
        do throws(MessagingError) {
            keys = try KeyPair.generate()
        } catch {
            complain("\(error); this libzmq is built without CURVE")
            throw ExitCode.system
        }
        do throws(SystemError) {
            if file == nil { try makeFolders() }
            try Files.write(
                Array(KeyFile.text(of: keys).utf8), to: replace ? Files.resolved(path) : path,
                Files.Attributes(mode: 0o600, owner: KeyPlace.isRoot ? Self.daemonUser : nil),
                replacing: replace)
        } catch {
            complain(advice(on: error, path))
            throw ExitCode.cannotCreate
        }
        return keys
    }

    /// The folders of the default file.
    private func makeFolders() throws(SystemError) {
        if KeyPlace.isRoot {
            return try Files.makeFolder(Files.folder(of: KeyFile.defaultPath), mode: 0o755)
        }
        for folder in ["/.config", "/.config/holdfast"] {
            try Files.makeFolder(KeyPlace.home + folder, mode: 0o700)
        }
    }

    private func advice(on error: SystemError, _ path: String) -> String {
        switch error.number {
        case EEXIST: "\(path) exists; --show prints its public half, --replace makes a new key"
        case ENOENT: "\(path): there is no folder \(Files.folder(of: path)); make it first"
        default: "\(error)"
        }
    }

    /// The user as whom the daemons run; `nil`: this host has none.
    private static var daemonUser: (user: uid_t, group: gid_t)? {
        guard let entry = unsafe getpwnam("holdfast") else { return nil }
        return unsafe (entry.pointee.pw_uid, entry.pointee.pw_gid)
    }
}
