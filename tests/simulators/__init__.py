"""Stand-ins for the other machines, behind the real interfaces."""
