"""Puts the clock of a worker an hour ahead. Loaded, as a module of use cases, by the one that must not matter."""

import time
from datetime import timedelta

from django.utils import timezone

AHEAD_S = 3_600
_time, _time_ns, _now = time.time, time.time_ns, timezone.now

time.time = lambda: _time() + AHEAD_S
time.time_ns = lambda: _time_ns() + AHEAD_S * 10**9
timezone.now = lambda: _now() + timedelta(seconds=AHEAD_S)
