"""How often the planted cause is found first, cause by cause.

    python -m tests.diagnosis.confusion --markdown --seeds 0 1

Rules were tuned on even seeds only; odd seeds were held out, and are reported apart.
A measured gradient above its predicted bound would be an error.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

from tests.diagnosis.runs import CASES, diagnosed, said


def check_bounds(diagnosis):
    """Assert that no measured gradient exceeds the bound from the formulas."""
    for row in diagnosis.layers:
        assert not row["gradient_norm"] > row["bound"] * (1 + 1e-4), row


def table(rows):
    """Return the confusion table: one row for each cause."""
    counts = {}
    for case, found in rows:
        counts.setdefault(case.cause or "healthy", Counter())[found] += 1
    lines = ["| planted | runs | right first | otherwise |", "|---|--:|--:|---|"]
    for cause, found in counts.items():
        total, right = sum(found.values()), found[cause]
        rest = [f"{k} ({n})" for k, n in found.most_common() if k != cause]
        lines.append(f"| {cause} | {total} | {right} | {', '.join(rest)} |")
    broken = [(c, f) for c, f in rows if c.cause]
    right = sum(c.cause == f for c, f in broken)
    healthy = [f for c, f in rows if not c.cause]
    lines.append(
        f"\nBroken runs: the cause first in {right} of {len(broken)}.  Healthy runs: "
        f"nothing above a note in {healthy.count('healthy')} of {len(healthy)}."
    )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markdown", action="store_true", help="only the tables")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", default="", help="cases with this cause or name")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    for seed in args.seeds:
        rows = []
        for case in CASES:
            if args.only not in f"{case.cause} {case.name}":
                continue
            began = time.perf_counter()
            diagnosis = diagnosed(case, seed)
            rows.append((case, said(diagnosis)))
            check_bounds(diagnosis)
            if not args.markdown:
                mark = " " if rows[-1][1] == (case.cause or "healthy") else "✗"
                spent = time.perf_counter() - began
                print(
                    f"{mark} {case.cause or 'healthy':24}{case.name:26}"
                    f"{[f.kind for f in diagnosis.findings if f.severity != 'note']} "
                    f"{spent:.1f}s",
                    flush=True,
                )
            if args.verbose:
                print(diagnosis, diagnosis.evidence.trials, sep="\n")
        half = "tuned on" if seed % 2 == 0 else "held out"
        print(f"\nSeed {seed} ({half})\n\n{table(rows)}", flush=True)


if __name__ == "__main__":
    main()
