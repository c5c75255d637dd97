"""What the engine costs, beside bare Celery on the same broker in the same run; ``docs/performance.md`` says how."""
