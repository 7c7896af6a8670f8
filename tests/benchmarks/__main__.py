"""The command: `python -m tests.benchmarks [names…] [--quick] [--markdown]`."""

import argparse
import json
from pathlib import Path

from rich.console import Console

from . import report, runner, startup
from .machine import Roofline, description
from .peers import FAMILIES
from .workloads import WORKLOADS

STARTUP = "startup"
NAMES = [*WORKLOADS, STARTUP]
PEERS = sorted({peer for family in FAMILIES.values() for peer in family})


def parse(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=__doc__
    )
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(NAMES))
    parser.add_argument("--peers", default="symgrad,jax,torch,numpy", help="by commas")
    parser.add_argument(
        "--torch-compile", action="store_true", help="and torch.compile"
    )
    parser.add_argument(
        "--quick", action="store_true", help="few rounds, rough figures"
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    options = parser.parse_args(arguments)
    options.peers = options.peers.split(",")
    if options.torch_compile:
        options.peers.append("torch.compile")
    for kind, given, known in (
        ("workload", options.names, NAMES),
        (
            "peer",
            options.peers,
            PEERS,
        ),
    ):
        if unknown := [name for name in given if name not in known]:
            parser.error(
                f"no {kind} {', '.join(unknown)}; there are {', '.join(known)}"
            )
    return options


def measure(options, console):
    """The rows of the table, one workload after another."""
    effort = runner.QUICK if options.quick else runner.FULL
    roofline = Roofline(rounds=3 if options.quick else 10)
    rows = []
    for name in options.names or NAMES:
        with console.status(f"measuring {name}"):
            if name == STARTUP:
                rows += startup.measure(options.peers, 1 if options.quick else 5)
                continue
            workload = WORKLOADS[name]
            row = runner.measure(workload, options.peers, effort)
            row.roofline = roofline.seconds(workload)
            rows.append(row)
    return rows


def main(arguments=None):
    options = parse(arguments)
    console = Console()
    machine = description()
    rows = measure(options, console)
    if options.json:
        figures = report.record(rows, options.peers, machine)
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    if options.markdown:
        print(report.markdown(rows, options.peers, machine))
        return
    console.print(machine, report.table(rows, options.peers))
    for note in report.notes(rows, options.peers):
        console.print(note, markup=False)


if __name__ == "__main__":
    main()
