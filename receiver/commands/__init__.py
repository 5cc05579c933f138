"""The commands of the receiver's part, one module a group: run it, and talk to one that runs."""
