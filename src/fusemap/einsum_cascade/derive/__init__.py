"""Cascades with fewer passes over a rank, derived from a cascade by rules whose side conditions are stated."""
