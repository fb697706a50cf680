"""Tells the service manager that the daemon is alive."""
