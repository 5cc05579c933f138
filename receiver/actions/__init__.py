"""Actions: one module each. `queue` notes in a transaction what is to be done; a job's handler does it."""
