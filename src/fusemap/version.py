"""The version of the package, which results are stamped with."""

VERSION = "0.1.0"
