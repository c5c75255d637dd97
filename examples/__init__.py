"""Workflows to run, read and copy: a sales pipeline, and the three workflows of document B's appendix C."""
