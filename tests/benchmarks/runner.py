"""The peers at one workload: the same numbers first, then times in turns."""

import importlib
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from .peers import FAMILIES
from .worker import PeerError, Worker

TOLERANCE = 2e-5
#: Whose answers are the right ones; networks by hand in NumPy would be long.
TRUSTED = {"operations": "numpy", "derivatives": "numpy", "models": "torch"}
TRUSTED["objectives"] = "jax"


@dataclass(frozen=True)
class Effort:
    """How often each peer has its turn, and how long a turn is."""

    rounds: int
    turn: float


FULL = Effort(rounds=20, turn=0.1)
QUICK = Effort(rounds=3, turn=0.01)


@dataclass
class Times:
    """The samples of one peer, in seconds, and the memory it took."""

    samples: list = field(default_factory=list)
    memory: int = 0

    @property
    def median(self):
        return median(self.samples)

    @property
    def minimum(self):
        return min(self.samples)


@dataclass
class Row:
    """One workload's line of the table; a peer has times or a failure."""

    name: str
    title: str
    roofline: float | None = None
    times: dict[str, Times] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def measure(workload, peers, effort):
    """Build and check every peer, then let them work in turns."""
    row = Row(workload.name, workload.title)
    peers = [peer for peer in peers if peer in FAMILIES[workload.family]]
    expected = reference(workload)
    workers = {}
    try:
        for peer in peers:
            workers[peer] = Worker(peer, workload.name)
            _attempt(row, peer, lambda p=peer: check(workers[p].ask("build"), expected))
        for number in range(effort.rounds):
            for peer in _rotated(peers, number):
                if peer not in row.failures:
                    _attempt(
                        row, peer, lambda p=peer: _turn(row, p, workers[p], effort)
                    )
    finally:
        for worker in workers.values():
            worker.close()
    for peer in row.failures:
        row.times.pop(peer, None)
    return row


def _rotated(peers, number):
    """Begin each round with another peer: who follows whom must not matter."""
    start = number % len(peers)
    return [*peers[start:], *peers[:start]]


def _attempt(row, peer, action):
    try:
        action()
    except PeerError as error:
        row.failures[peer] = str(error)


def _turn(row, peer, worker, effort):
    times = row.times.setdefault(peer, Times())
    times.samples += worker.ask("time", effort.turn)
    times.memory = worker.ask("memory")


def reference(workload):
    """What a peer must answer at its second call, in f64 from the one trusted."""
    arrays = {
        name: array.astype(np.float64) if array.dtype == np.float32 else array
        for name, array in workload.arrays().items()
    }
    trusted = FAMILIES[workload.family][TRUSTED[workload.family]]
    module = importlib.import_module(f"{__package__}.peers.{trusted}")
    task = getattr(module, workload.task)(arrays)
    task.run()
    return task.read(task.run())


def check(answers, expected):
    """Refuse a peer whose numbers differ by more than f32 explains."""
    shapes = [[np.shape(a) for a in arrays] for arrays in (answers, expected)]
    if shapes[0] != shapes[1]:
        raise PeerError(f"returns shapes {shapes[0]} instead of {shapes[1]}")
    for i, (answer, right) in enumerate(zip(answers, expected, strict=True)):
        off = np.abs(answer - right).max() / np.abs(right).max()
        if not off < TOLERANCE:
            raise PeerError(f"other numbers: result {i} is {off:.1e} off")
