"""From a story to words: the templates found, checked and rendered."""
