"""One file per operator family; `registry` finds them here."""
