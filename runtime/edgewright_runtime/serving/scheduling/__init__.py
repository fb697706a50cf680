"""Whose turn it is at a model's engine."""
