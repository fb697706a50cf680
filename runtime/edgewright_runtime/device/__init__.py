"""What this machine is: facts read from the system, and the profile that fits them."""
