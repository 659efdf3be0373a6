"""Amounts of work and of time as people read them, and as ``msgstream listen`` shows them."""

from __future__ import annotations

from typing import Optional

#: From here on amounts are shown with a prefix, such as ``1.23M``.
_LARGE = 100_000.0

_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def amount(k: float, total: Optional[float] = None, units: str = "") -> str:
    """``3/10 steps``, ``0.3/0.9``, ``1.23M/100M bytes``, ``3``."""
    # Both in one form, as fits the larger.
    most = abs(k if total is None else max(k, total))
    of = "" if total is None else f"/{_number(total, most)}"
    return f"{_number(k, most)}{of} {units}".rstrip()


def rate(each_second: float, units: str = "") -> str:
    """``2.5 steps/s``, or ``4 s/step`` if one takes longer than a second."""
    if each_second >= 1:
        return f"{rounded(each_second)} {units}".rstrip() + "/s"
    unit = (units[:-1] if len(units) > 1 and units.endswith("s") else units) or "it"
    return f"{rounded(1 / each_second)} s/{unit}"


def words(seconds: float) -> str:
    """``4 s``, ``2 min 5 s``, ``3 h 20 min``, ``2 d 3 h``."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    for unit, length, smaller, part in (("d", 86_400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= length:
            rest = whole % length // part
            return f"{whole // length} {unit}" + (f" {rest} {smaller}" if rest else "")
    raise AssertionError(whole)


def words_of_age(seconds: float) -> str:
    """``4 s``, ``2 min``, ``3 h``, ``2 d``: how long ago something was, for which nobody wants the seconds."""
    number, unit, *_ = words(seconds).split()
    return f"{number} {unit}"


def running(seconds: float) -> str:
    """``00:12``, ``1:02:03``: a time that runs."""
    whole = max(0, int(seconds))
    hours, minutes, seconds = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"


def rounded(value: float) -> str:
    """A number in three digits, with a prefix if it is large."""
    size = abs(value)
    if size >= 1e18:
        return f"{value:.3g}"
    for power, prefix in _PREFIXES:
        # What would be rounded up to the next prefix has it.
        if size >= power * 0.9995 and (power > 1e3 or size >= 10_000):
            return _trimmed(f"{value / power:.{_decimals(size / power)}f}") + prefix
    return _trimmed(f"{value:.{_decimals(size)}f}")


def _number(value: float, most: float) -> str:
    """A number, as fine as three digits of the largest beside it."""
    if most >= _LARGE:
        return rounded(value)
    return str(int(value)) if value == int(value) else _trimmed(f"{value:.{_decimals(most)}f}")


def _decimals(value: float) -> int:
    """How many digits behind the point make three in all."""
    if value == 0:
        return 0
    for limit, decimals in ((0.001, 6), (0.01, 5), (0.1, 4), (0.9995, 3), (9.995, 2), (99.95, 1)):
        if value < limit:
            return decimals
    return 0


def _trimmed(number: str) -> str:
    """Without zeros at the end that mean nothing."""
    return number.rstrip("0").rstrip(".") if "." in number else number
