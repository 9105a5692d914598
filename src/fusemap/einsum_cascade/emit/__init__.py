"""Cascades as programs that run without fusemap."""
