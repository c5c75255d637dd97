"""The engine's rule, written down a second time, and random workflows to compare the two by."""
