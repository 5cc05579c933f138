"""What the sources ask for, figure by figure, and what of it each line of each document says."""
