"""From a flow of steps to a definition that runs: work for every step, a form for every fact, joins and bounds.

A ``Flow`` says what is to be done and in which order; it comes from the rules or from a language model. What does
the work is found here (``work``), what the caller wants is brought in (``preferences``), ``assembly`` writes it down.
"""
