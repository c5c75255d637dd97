"""Suggestions, their replays and what came of them."""
