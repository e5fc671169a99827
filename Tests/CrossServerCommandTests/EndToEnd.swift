import Testing

/// The tests against a running `crossserver`, one after the other: each has processes of its own.
@Suite(.serialized)
enum EndToEnd {}
