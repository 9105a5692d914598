"""Pass analysis: how often every fiber must be traversed, with proofs."""
