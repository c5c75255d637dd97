"""Assignments, tests and guardrails."""
