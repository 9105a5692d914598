"""Timeloop: its files written and read, its results compared with ours."""
