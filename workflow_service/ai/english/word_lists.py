"""How lists of words are written: as text, which is easier to read and to add to than quotes and commas."""


def words(text: str) -> frozenset[str]:
    """Return the words of a text, separated by white space, as a set."""
    return frozenset(text.split())
