"""Files that people write: YAML with the place of every key and value, watched for changes, explained to editors."""
