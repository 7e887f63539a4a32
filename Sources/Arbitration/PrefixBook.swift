// The prefixes that clients ask for, as small numbers: many clients ask for the same, and each name is kept once.

/// Prefixes with a count of their uses.
typealias PrefixBook = NameBook
