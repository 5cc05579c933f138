"""The report on a deployment: the verdict with its numbers, its health, what to do, and what nobody measured."""
