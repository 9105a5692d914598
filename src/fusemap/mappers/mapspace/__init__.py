"""The space of mappings of a whole cascade, as data: what may share loops, what is held, spilled or recomputed."""
