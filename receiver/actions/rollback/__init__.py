"""Roll back: whether, by whose word, and whether it helped; `rollback` does it, every other module has one question."""
