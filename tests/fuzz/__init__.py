"""Texts that nobody would write, by the million, against everything that reads what people wrote."""
