"""The local door: real servers, real clients, and hostile ones."""
