"""One module per target; each imports its library only when a model is opened."""
