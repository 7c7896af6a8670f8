"""symgrad against its peers on one machine in one run: `python -m tests.benchmarks`."""
