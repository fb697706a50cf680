"""Answers inference requests: models and their generations, queues, and the doors to them."""
