"""Updates: fetches what both repositories assign, proves it, switches to it, or goes back."""
