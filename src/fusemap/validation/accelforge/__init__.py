"""AccelForge beside fusemap: what both can express, written for it, run by it, and compared.

Source of the formats: AccelForge 1.0.467 (the Python package `accelforge`), its documentation of workloads,
architectures and mappings.
"""
