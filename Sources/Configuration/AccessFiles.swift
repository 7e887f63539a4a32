// The two files of CURVE: our own key, and the list of whom we let in.

/// A key pair's file: `public` and `secret`, readable by its owner only.
public enum KeyFile {
    public static let defaultPath = "/etc/holdfast/host.key"
}

/// `clients.toml`: who may connect from beyond this host.
public enum ClientsFile {
    public static let defaultPath = "/etc/holdfast/clients.toml"
}
