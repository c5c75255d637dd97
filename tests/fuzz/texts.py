"""Generates expressions and DSL texts: by grammar, by mutation of good ones, and as mere noise. Seeded."""

from random import Random

EXPRESSION_SEEDS = (
    "approved == True",
    "len(items) > 3 and items[0].price * 2 >= limit - 1",
    "not (a or b) and customer.tier in ['gold', 'silver']",
    "blocks.check.output.total % 2 == 0",
    "blocks['check'].output['total'] != workflow.input.total",
    "exists(context.x) and default(y.z, 5) < 10 <= 20",
    "startswith(lower(name), 'ab') or contains(tags, \"q\")",
    "sum([1, 2.5, n]) / max(1, m) > -3.0e2",
    "any([a == b, b == c]) or all(flags)",
    "execution.id == 'x' and secrets.TOKEN != ''",
    "item.index == index and x['it\\'s'] == null",
)
DSL_SEEDS = (
    "start->validate; validate->process:is_valid==True; validate->reject:else; process->end; reject->end;",
    "start->check; check->[unit,integration,scan]; [unit,integration,scan]->build:all_pass==True; build->end;",
    'start->ask; ask->escalate:"the customer sounds angry"; ask->close:else; escalate->end; close->end;',
    "start->draft; draft->review; review->draft:approved==False; review->end:else;",
    "start->charge; charge!->refund; charge->ship; [ship,refund]->done; done->end; # a comment\n",
    "start->a;\r\na->b: x == 'a;b->c:d#e' ;\na->c:`not checked`;\nb->end;c->end",
)
PYTHON_TRAPS = (
    "__class__", "().__class__", "x.__class__.__mro__", "''.join", "lambda: 0", "[x for x in y]", "{**a}", "f'{x}'",
    "x := 1", "await x", "yield", "*a", "a if b else c", "a is b", "1_000", "0xff", "1j", "b'x'", "...", "a @ b",
    "a ** b", "a << 99999", "9 * 9 ** 9", "eval('1')", "__import__('os')", "x[1:2]", "x[::]", "a\\\nb", "# c",
    "\x00", "\ud800", "\uff41", "é", "\u200b", "\x0c", "True", "None", "nan", "inf", "1e999", "-" * 30 + "1",
    "not " * 30 + "x", "(" * 60 + ")" * 60, "[" * 60, "a." * 120 + "b", "'" * 7, '"""', "'\\N{DASH}'", "'\\x00'",
    "'\\ud800'", "9" * 400,
)  # fmt: skip
_NAMES = ("x", "y", "n", "items", "name", "tags", "output", "input", "context", "item", "index", "workflow", "blocks",
          "true", "null", "__class__", "__getattr__", "trap", "len", "secrets", "execution")  # fmt: skip
_KEYS = ("a", "b", "id", "output", "input", "__class__", "__dict__", "class", "total", "x")
_LITERALS = ("0", "1", "-1", "2.5", "1e3", "True", "False", "None", "'a'", '"b"', "''", "'it\\'s'", "'\\u00e9'", "[]",
             "[1, 2]", "'high'", "10**3", "1e308", "0.1", "99999999999999999999")  # fmt: skip
_OPERATORS = ("==", "!=", "<", "<=", ">", ">=", "in", "not in", "+", "-", "*", "/", "%", "and", "or", "is", "**", "//",
              "|", "@", "<<")  # fmt: skip
_FUNCTIONS = ("len", "lower", "upper", "startswith", "endswith", "contains", "exists", "default", "min", "max", "sum",
              "any", "all", "eval", "getattr", "str", "type")  # fmt: skip
_NOISE = "abxyn01 \t\n\r.,;:()[]{}'\"`#!=<>+-*/%&|^~@$\\_\u00e9\u2192\u200b\ufeff\x00\U0001f600"
_WORDS = (
    "start",
    "end",
    "a",
    "b",
    "validate",
    "x1",
    "_y",
    "else",
    "default",
    "A" * 101,
    "7x",
    "a-b",
    "start ",
    "é",
)
_ARROWS = ("->", "!->", "=>", "-", ">", "-->", "→", "- >", "")


class Author:
    """Writes one text after another; the same seed, the same texts."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)

    def expression(self) -> str:
        """Return an expression, or what might be mistaken for one."""
        kind = self._rng.random()
        if kind < 0.55:
            return self._term(self._rng.randint(1, 6))
        if kind < 0.9:
            seed = self._rng.choice(EXPRESSION_SEEDS) if kind < 0.7 else self._term(3)
            return self._mutated(seed, (*EXPRESSION_SEEDS, *PYTHON_TRAPS))
        if kind < 0.95:
            return self._rng.choice(PYTHON_TRAPS) + self._rng.choice(("", " ", self._term(2)))
        return self._noise(60)

    def dsl(self) -> str:
        """Return a text in the DSL, or what might be mistaken for one."""
        kind = self._rng.random()
        if kind < 0.5:
            return self._lines()
        if kind < 0.95:
            return self._mutated(
                self._rng.choice(DSL_SEEDS) if kind < 0.8 else self._lines(), (*DSL_SEEDS, *PYTHON_TRAPS)
            )
        return self._noise(200)

    def _term(self, depth: int) -> str:
        rng = self._rng
        kind = rng.randrange(10) if depth > 0 else rng.randrange(3)
        match kind:
            case 0:
                return rng.choice(_LITERALS)
            case 1 | 2:
                return rng.choice(_NAMES)
            case 3:
                return f"{self._term(depth - 1)}.{rng.choice(_KEYS)}"
            case 4:
                return f"{self._term(depth - 1)}[{self._term(depth - 2)}]"
            case 5:
                arguments = ", ".join(self._term(depth - 1) for _ in range(rng.randrange(4)))
                return f"{rng.choice(_FUNCTIONS)}({arguments})"
            case 6:
                return f"{rng.choice(('not ', '-', '+', '~'))}{self._term(depth - 1)}"
            case 7:
                return f"({self._term(depth - 1)})"
            case 8:
                return f"[{', '.join(self._term(depth - 2) for _ in range(rng.randrange(4)))}]"
            case _:
                return f"{self._term(depth - 1)} {rng.choice(_OPERATORS)} {self._term(depth - 1)}"

    def _condition(self) -> str:
        good = ("x > 1", "name == 'a;b'", "not ok", "exists(a.b)", "n in [1, 2]")
        return self._rng.choice(good) if self._rng.random() < 0.8 else self._term(3)

    def _lines(self) -> str:
        return self._rng.choice(("", "\n", " ")).join(self._line() for _ in range(self._rng.randint(1, 12)))

    def _line(self) -> str:
        rng = self._rng
        condition = ""
        if rng.random() < 0.4:
            written = (self._condition(), "else", '"a question"', "`raw`", "", "'")
            condition = ":" + rng.choices(written, (10, 6, 2, 2, 1, 1))[0]
        arrow = rng.choices(_ARROWS, (80, 8, 1, 1, 1, 1, 1, 1, 1))[0]
        end = rng.choices((";", "", " #c", ";;"), (24, 1, 1, 1))[0]
        return f"{self._names()}{arrow}{self._names()}{condition}{end}"

    def _names(self) -> str:
        names = [
            self._rng.choices(_WORDS, (20, 20, 40, 40, 20, 20, 10, 1, 1, 1, 1, 1, 1, 1))[0]
            for _ in range(self._rng.choice((1, 1, 1, 2, 3)))
        ]
        return names[0] if len(names) == 1 else f"[{','.join(names)}]"

    def _mutated(self, text: str, parts: tuple[str, ...]) -> str:
        rng = self._rng
        for _ in range(rng.randint(1, 4)):
            at = rng.randint(0, len(text))
            end = min(len(text), at + rng.randint(0, 8))
            match rng.randrange(5):
                case 0:
                    text = text[:at] + text[end:]
                case 1:
                    text = text[:at] + rng.choice(_NOISE) + text[at:]
                case 2:
                    text = text[:at] + text[at:end] * rng.randint(2, 40) + text[end:]
                case 3:
                    text = text[:at] + rng.choice(parts) + text[end:]
                case _:
                    other = rng.choice(parts)
                    text = text[:at] + other[rng.randint(0, len(other)) :]
        return text

    def _noise(self, most: int) -> str:
        return "".join(self._rng.choice(_NOISE) for _ in range(self._rng.randint(0, most)))
