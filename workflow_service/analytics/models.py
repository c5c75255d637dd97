"""Rollups and what is read from them."""
