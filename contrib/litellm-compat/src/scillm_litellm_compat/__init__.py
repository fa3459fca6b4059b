"""What stands behind the package ``litellm``: the names that it serves, and its import finder."""
