// What a start would stumble over besides its configuration, found before: folders of endpoints, and how many
// descriptors there may be.
import Glibc
import Linux
import Wire

/// Why a start cannot succeed.
struct StartObstacle: Error, CustomStringConvertible {
    let description: String
}

/// Looks at the system before a start.
enum StartChecks {
    /// Fewer descriptors than this are not enough for a start with its first clients.
    static let fewestDescriptors: UInt64 = 128
    /// The folder that the units make (RuntimeDirectory=).
    static let runtimeFolder = "/run/holdfast"

    /// The folders of the endpoints that are Unix sockets.
    static func folders(of endpoints: [String]) -> [String] {
        var folders: [String] = []
        for endpoint in endpoints {
            guard case .ipc(let path) = Endpoint(endpoint), path.hasPrefix("/") else { continue }
            let folder = Files.folder(of: path)
            if folder != "/", !folders.contains(folder) { folders.append(folder) }
        }
        return folders
    }

    /// Makes the folders, as the service manager would have; what cannot be made is told when it is needed.
    static func makeFolders(of endpoints: [String]) {
        for folder in folders(of: endpoints) { try? Files.makeFolder(folder, mode: 0o750) }
    }

    static func requireDescriptors() throws(StartObstacle) {
        let limit = DescriptorLimit.raise()
        guard limit < fewestDescriptors else { return }
        throw StartObstacle(
            description: "only \(limit) descriptors are allowed (RLIMIT_NOFILE), and a start takes "
                + "\(fewestDescriptors): raise LimitNOFILE= in a drop-in of the unit, or ulimit -n")
    }

    /// What a start by this user would stumble over.
    static func warnings(_ endpoints: [String]) -> [String] {
        folders(of: endpoints).filter { $0 != runtimeFolder }.compactMap { folder in
            if !Files.exists(folder) {
                guard !Files.mayWrite(in: Files.folder(of: folder)) else { return nil }
                return "there is no folder \(folder), and this user may not make it: an endpoint needs it"
            }
            return Files.mayWrite(in: folder)
                ? nil : "this user may not write to \(folder): an endpoint needs it"
        }
    }
}
