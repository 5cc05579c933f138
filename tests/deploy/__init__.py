"""The chart, units, image and what else brings deploywatch where it runs."""
