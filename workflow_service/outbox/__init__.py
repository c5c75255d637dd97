"""Messages that must leave: kept as rows until the other side has them, and sent at least once, in order."""
