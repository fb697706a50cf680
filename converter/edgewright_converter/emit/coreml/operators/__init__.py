"""One file per operator family; the registry finds them by itself."""
