"""Timeloop v4 specifications read: templates, YAML with its tags and merges, and what they mean to fusemap."""
