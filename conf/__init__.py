"""The configs: YAML files, one per thing a user can name."""
