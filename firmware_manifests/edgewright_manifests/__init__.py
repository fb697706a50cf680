"""The contract between converter, runtime and fleet: all that is signed, sent or stored."""

__version__ = "0.1.0"
