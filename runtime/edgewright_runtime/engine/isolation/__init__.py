"""A model in a process of its own: an engine that crashes takes that process down, not ours."""
