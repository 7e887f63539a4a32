// The journal's MESSAGE_ID of each kind of event, so that a search finds them all: journalctl MESSAGE_ID=…

/// Kinds of journal entries. Never reuse one for another kind.
public enum MessageID {
    /// A subject's status changed.
    public static let stateChanged = "6b1f3c4d8e2a4b0f9c7d5e1a2f3b4c60"
    /// A feed moved to another path.
    public static let switched = "6b1f3c4d8e2a4b0f9c7d5e1a2f3b4c61"
    /// Sequences were told as missing.
    public static let gap = "6b1f3c4d8e2a4b0f9c7d5e1a2f3b4c62"
    /// A feed's numbering began anew.
    public static let epoch = "6b1f3c4d8e2a4b0f9c7d5e1a2f3b4c63"
    /// A configuration was read, or refused.
    public static let configuration = "6b1f3c4d8e2a4b0f9c7d5e1a2f3b4c64"
}
