"""What a child leaves in its folder, and the statuses that it ends with."""

JOB = "job.crate"
RESULT = "result.crate"
REFUSAL = "refusal.crate"
OUTPUT = "output.txt"
"""All that the libraries printed."""

DONE = 0
REFUSED = 3
OUT_OF_MEMORY = 4
