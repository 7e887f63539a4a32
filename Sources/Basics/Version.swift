// The version of Holdfast, which is that of its packages: packaging/debian/changelog says the same, and a test
// holds both against each other.

/// What a program says to `--version`.
public enum Version {
    public static let number = "0.1.0"
}
