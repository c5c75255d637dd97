"""Numbers with their nouns, for messages; pages have Django's ``pluralize``."""


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: "1 run", "2 runs"; ``many`` is for a noun that takes more than an s."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"
