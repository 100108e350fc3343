"""What touches the world; adapters never import each other."""
