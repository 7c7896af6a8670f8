"""The figures as a table for a terminal, for Markdown and for programs."""

from rich import box
from rich.table import Table

UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
MISSING = "–"


def duration(seconds):
    """Three digits and a unit.

    >>> duration(0.00312), duration(4.2), duration(0.000123)
    ('3.12 ms', '4.20 s', '123 µs')
    """
    size, unit = next((u for u in UNITS if seconds >= u[0]), UNITS[-1])
    value = seconds / size
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {unit}"


def base(row, peers):
    """The peer whose median is the 1 of the ratios: the first that has times."""
    return next((peer for peer in peers if peer in row.times), None)


def figures(row, peer, peers):
    """The median, its ratio to the base's, and the minimum: three texts."""
    times = row.times.get(peer)
    if times is None:
        return MISSING, "", ""
    ratio = times.median / row.times[base(row, peers)].median
    return duration(times.median), f"×{ratio:.2f}", duration(times.minimum)


def least(row):
    return MISSING if row.roofline is None else duration(row.roofline)


def notes(rows, peers):
    """The legend, memory, and each distinct failure with the workloads it stopped."""
    yield (
        "Median of one call, × its ratio to that of the first peer with a figure, "
        "and the minimum; “at least” is the roofline."
    )
    memory = [
        f"{row.name}: "
        + ", ".join(f"{p} {row.times[p].memory / 1e6:.0f} MB" for p in row.times)
        for row in rows
        if any(times.memory > 0 for times in row.times.values())
    ]
    if memory:
        yield "Peak memory beyond imports and arrays. " + "; ".join(memory) + "."
    reasons = {}
    for row in rows:
        for peer, reason in row.failures.items():
            reasons.setdefault((peer, reason), []).append(row.name)
    for (peer, reason), names in reasons.items():
        yield f"{MISSING} {peer}: {reason} ({', '.join(names)})"


def table(rows, peers):
    """The table for a terminal."""
    result = Table(box=box.SIMPLE)
    result.add_column("workload", no_wrap=True)
    for name in ("at least", *peers):
        result.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        cells = [figures(row, peer, peers) for peer in peers]
        shown = [f"{m} {ratio}\n[dim]{minimum}[/]" for m, ratio, minimum in cells]
        result.add_row(row.name, least(row), *shown)
    return result


def markdown(rows, peers, machine):
    """The table for a README, with the machine above it and the notes below."""
    lines = [["workload", "at least", *peers], ["---", *["---:"] * (len(peers) + 1)]]
    for row in rows:
        cells = [figures(row, peer, peers) for peer in peers]
        shown = [f"{m} {ratio} ({low})" if low else m for m, ratio, low in cells]
        lines.append([f"{row.name}: {row.title}", least(row), *shown])
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return "\n\n".join([machine, text, *notes(rows, peers)])


def record(rows, peers, machine):
    """The figures for programs: seconds and bytes."""
    return {
        "machine": machine,
        "peers": list(peers),
        "rows": [
            {
                "name": row.name,
                "title": row.title,
                "roofline": row.roofline,
                "failures": row.failures,
                "times": {
                    peer: {
                        "median": times.median,
                        "minimum": times.minimum,
                        "samples": len(times.samples),
                        "memory": times.memory,
                    }
                    for peer, times in row.times.items()
                },
            }
            for row in rows
        ],
    }
