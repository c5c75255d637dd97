"""Parts of a dry run: ``simulation`` walks, ``work`` stands in for agents, ``steering`` leads, ``solver`` solves."""
