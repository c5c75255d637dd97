"""A sales pipeline: a CSV export with realistic dirt becomes Postgres tables and a report."""
