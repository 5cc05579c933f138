"""From a story to words: the templates found, checked, rendered, tried out and previewed."""
