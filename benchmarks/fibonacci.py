"""The work of a measured step, which both sides do: little, and none of it waiting."""


def slow_fib(n: int) -> int:
    """Return the n-th Fibonacci number by calling itself for the two before it."""
    # A plain function: a task that called itself would measure the calls of tasks.
    return n if n < 2 else slow_fib(n - 1) + slow_fib(n - 2)
