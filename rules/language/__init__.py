"""The language of policies: conditions, and the labels that they hold for."""
