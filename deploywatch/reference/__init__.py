"""Pages of reference, made from what the programs themselves say."""
