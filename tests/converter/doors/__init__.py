"""The doors: models of other frameworks, through `edgewright convert`."""
