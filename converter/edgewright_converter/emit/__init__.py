"""Writers of the target formats."""
