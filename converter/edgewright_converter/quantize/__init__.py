"""Makes smaller artifacts with the field's own libraries, and picks the one to ship."""
