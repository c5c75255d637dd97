"""Artifacts: files that blocks take and give, kept outside the database and passed by reference."""
