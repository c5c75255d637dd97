"""Writes: artifacts kept, and taken away."""
