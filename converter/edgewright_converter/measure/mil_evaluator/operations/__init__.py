"""One file per family of MIL operations; the registry finds them by itself."""
