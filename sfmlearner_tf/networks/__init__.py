"""The networks: what they are built from, one class a module, and the registry that finds them by name."""
