"""Servers side by side: ours and the peers' with the same models under the same load."""
