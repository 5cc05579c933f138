"""What changes for people when one policy takes the place of another."""
