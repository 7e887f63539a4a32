// What to do when an endpoint cannot be bound: the error of the system call says little to who reads the journal.
import Glibc
import Wire

/// What to do about an endpoint that could not be bound for this reason; `nil` where there is nothing to say.
func bindAdvice(_ endpoint: String, _ number: Int32) -> String? {
    switch Endpoint(bound: endpoint) {
    case _ where number == EINVAL: "an endpoint is ipc:///PATH or tcp://ADDRESS:PORT"
    case .ipc(let path) where path.hasPrefix("/"): folderAdvice(folder(of: path), number)
    case .tcp(let host, let port): portAdvice(host, port, number)
    default: nil
    }
}

private func folder(of path: String) -> String {
    let folder = path[..<(path.lastIndex(of: "/") ?? path.startIndex)]
    return folder.isEmpty ? "/" : String(folder)
}

private func folderAdvice(_ folder: String, _ number: Int32) -> String? {
    switch number {
    case ENOENT, ENOTDIR: "there is no folder \(folder): make it, or use /run/holdfast"
    case EROFS:
        "the unit keeps \(folder) read-only: use /run/holdfast, or add ReadWritePaths=\(folder) in a drop-in"
    case EACCES, EPERM: "this user may not write to \(folder): use /run/holdfast, or give it to the user"
    case ENOSPC, EDQUOT: "make room: see df -h \(folder) and df -i \(folder)"
    case EADDRINUSE: "another process serves it"
    default: nil
    }
}

private func portAdvice(_ host: String, _ port: UInt16, _ number: Int32) -> String? {
    switch number {
    case EADDRNOTAVAIL, ENODEV: "this host has no address \(host), or not yet: see ip address"
    case EADDRINUSE: "another process has the port: see ss -ltnp sport = \(port)"
    case EACCES, EPERM: "ports below 1024 take a capability: choose a higher one"
    default: nil
    }
}
