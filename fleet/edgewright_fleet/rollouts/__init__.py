"""Phased rollouts: rules without I/O, the driver that applies them, what operators may do."""
