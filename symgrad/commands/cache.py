"""``symgrad cache``: look at or empty the cache of compiled kernels."""

from __future__ import annotations

import argparse

HELP = "show or empty the cache of compiled kernels"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument(
        "--info", action="store_true", help="show where and how large it is"
    )
    choice.add_argument("--clear", action="store_true", help="remove everything in it")


def run(args: argparse.Namespace) -> int:
    """Show or empty the cache."""
    from symgrad.cache import cache_info, clear_cache

    found = clear_cache() if args.clear else cache_info()
    place = found.path or "in memory"
    if args.clear:
        print(f"removed {found.entries} entries ({size(found.bytes)}) from {place}")
    else:
        print(f"{place}: {found.entries} entries, {size(found.bytes)}")
    return 0


def size(count: int) -> str:
    """Return a number of bytes as people say it.

    >>> size(999), size(45_395), size(2_500_000)
    ('999 B', '45.4 kB', '2.5 MB')
    """
    amount, unit = float(count), "B"
    for larger in ("kB", "MB", "GB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"
