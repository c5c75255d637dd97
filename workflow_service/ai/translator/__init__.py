"""The rule-based translator: plain English in, a flow of steps out, with no language model.

Stages, each a file: ``normalise`` (one spelling of marks and slips), ``outline`` (paragraphs and nested lists),
``sentences`` (units of a condition and what it governs), ``clauses`` (one deed each), ``deeds`` (verb, object, who),
``conditions``, ``reader`` (the tree of sequence, choice, parallel and loop), ``weaver`` (the tree as steps and ways).
Rules are general: none knows a sentence.
"""
