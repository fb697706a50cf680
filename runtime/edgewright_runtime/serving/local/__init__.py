"""The local door: frames over a Unix socket, tensors in memory shared with the client."""
