"""The use cases that every server has. Each module registers its own when it is imported."""
