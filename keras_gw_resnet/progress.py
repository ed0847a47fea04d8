"""What is under way and how long it will take: bars on a terminal, elsewhere a line every 20 seconds."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterable, Sized
from typing import TextIO

from tqdm import tqdm

SECONDS = 20.0
# What is under way, the innermost last; one thread prints its line.
_under_way, _lock = [], threading.Lock()


class Bar:
    """A progress bar on a terminal; where stdout is none, a line of text at least every 20 s.

    Args:
        iterable: What to go through; None: `update` is called.
        total: How much there is to do; None: as long as the iterable is, or unknown.
        desc: What is done.
        unit: Of the counts.
        initial: How much is done already.
        leave: Whether the bar stays when it is closed.
        file: Stream of the bar; None: stderr.
        unit_scale: Whether the bar shortens large counts.
    """

    def __init__(
        self,
        iterable: Iterable | None = None,
        *,
        total: float | None = None,
        desc: str = "",
        unit: str = "",
        initial: float = 0,
        leave: bool = True,
        file: TextIO | None = None,
        unit_scale: bool = False,
    ) -> None:
        self.iterable, self.desc, self.unit, self.n, self._initial = iterable, desc, unit, initial, initial
        if total is None and isinstance(iterable, Sized):
            total = len(iterable)
        options = {"leave": leave, "file": file, "unit_scale": unit_scale, "disable": None, "dynamic_ncols": True}
        self._bar = tqdm(total=total, desc=desc, unit=unit or "it", initial=initial, **options)
        self._total, self._begun = total, time.monotonic()
        _enter(self)

    @property
    def total(self) -> float | None:
        """How much there is to do."""
        return self._total

    @total.setter
    def total(self, total: float | None) -> None:
        self._total = self._bar.total = total

    def update(self, number: float = 1) -> None:
        """Count what has been done."""
        self.n += number
        self._bar.update(number)

    def set_description(self, desc: str) -> None:
        """Say what is done now."""
        self.desc = desc
        self._bar.set_description(desc)

    def set_postfix(self, values: dict) -> None:
        """Show values behind the bar."""
        self._bar.set_postfix(values)

    def write(self, line: str) -> None:
        """Print a line on stdout, above the bar where there is one."""
        if self._bar.disable:
            print(line, flush=True)
        else:
            tqdm.write(line, file=sys.stdout)

    def line(self) -> str:
        """Return the line of text that says where things stand."""
        spent, done = time.monotonic() - self._begun, self.n - self._initial
        what = self.desc or "working"
        if not self.total:
            return f"{what}: {_duration(spent)} so far"
        left = f", {_duration(spent / done * (self.total - self.n))} left" if done > 0 else ""
        return f"{what}: {round(self.n)} of {round(self.total)} {_plural(self.unit)}".rstrip() + left

    def close(self) -> None:
        """End it."""
        self._bar.close()
        _leave(self)

    def __iter__(self):
        try:
            for item in self.iterable:
                yield item
                self.update()
        finally:
            self.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class working:  # noqa: N801, used as a function
    """Say every 20 s, where stdout is no terminal and no bar inside says more, how long something has been under way."""

    def __init__(self, what: str) -> None:
        self.what, self._begun = what, time.monotonic()

    def line(self) -> str:
        """Return the line of text that says so."""
        return f"{self.what}: {_duration(time.monotonic() - self._begun)} so far"

    def __enter__(self):
        _enter(self)
        return self

    def __exit__(self, *error):
        _leave(self)


def _duration(seconds):
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def _plural(unit):
    if len(unit) < 2:
        return unit
    return unit + ("es" if unit.endswith("ch") else "s")


def _enter(bar):
    with _lock:
        _under_way.append(bar)
        if len(_under_way) == 1:
            bar.ended = threading.Event()
            threading.Thread(target=_report, args=(bar.ended,), daemon=True).start()
        else:
            bar.ended = _under_way[0].ended


def _leave(bar):
    with _lock:
        if bar in _under_way:
            _under_way.remove(bar)
        if not _under_way:
            bar.ended.set()


def _report(ended):
    while not ended.wait(SECONDS):
        with _lock:
            if ended.is_set():
                return
            line = _under_way[-1].line()
        # A stream that is closed or a terminal needs no line.
        with contextlib.suppress(ValueError, OSError):
            if not sys.stdout.isatty():
                print(line, flush=True)
