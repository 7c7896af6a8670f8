"""Random programs against JAX: values, gradients and second derivatives.

The same programs are run each time.  ``SYMGRAD_RANDOM_PROGRAMS=2000`` runs so many
others, which differ from run to run.  Kernels are split over threads even where that
does not pay: each has to be right however its rows are split.
"""

import os

from hypothesis import HealthCheck, assume, event, given, note, settings
from hypothesis import strategies as st

from tests.programs.compare import check, declare, expected
from tests.programs.strategy import programs

MANY = int(os.environ.get("SYMGRAD_RANDOM_PROGRAMS", "0"))
sizes = st.fixed_dictionaries({"n": st.integers(1, 5), "m": st.integers(1, 5)})


@settings(
    max_examples=MANY or 30,
    derandomize=not MANY,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(programs(), st.sampled_from([1, 2, 3]), st.booleans(), sizes, st.booleans())
def test_random_programs(program, threads, nan_check, others, resized):
    note(str(program))
    graph = declare(program)
    for named in (program.sizes, others) if resized else (program.sizes,):
        arrays = program.arrays(named)
        answer = expected(program, graph, arrays)
        event(f"well-conditioned: {answer is not None}")
        assume(answer is not None)
        check(graph, arrays, *answer, threads=threads, nan_check=nan_check)
