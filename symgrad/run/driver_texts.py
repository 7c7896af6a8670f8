"""The driver and the thread pool, written as kernel texts, and the state they share.

One block of memory per process holds the state, in cache lines of its own for each
thing that several threads write:

    sequence   goes up by one before a row is written and by one when it is published,
               so that it is odd while a row is being written; workers wait for it
    sleepers   how many workers the OS has to wake for that
    owner      1 while a run has the pool
    pending    parts of the published row that are not done yet
    row        the published row, its number of parts
    claims     per part, the last row of which it was taken

A parallel row is split into as many parts as the run has threads.  Every thread that
is awake, the caller's own included, *claims* parts, its own first; so a worker that
sleeps late, or that the OS has put off, holds nobody up, and a run that finds the
pool taken by another does all the parts itself.  Who runs a part changes no bit of
the result; the split depends on the number of threads alone.

A thread may read the row while the next one is being written; it finds that out by
reading the sequence again, and leaves.  If it reads a whole row, but late, there is
nothing left to claim: a row is written after all parts of the one before are done.
"""

LINE = 128  # bytes; processors fetch cache lines of 64 in pairs
MOST_THREADS = 256

SEQUENCE = 0 * LINE
SLEEPERS = 1 * LINE
OWNER = 2 * LINE
PENDING = 3 * LINE
ROW = 4 * LINE  # fn, operands, lo, hi, grain, operand_stride
PARTS = ROW + 48
WORKERS = 5 * LINE  # what Python sets: how many workers there are, and addresses
TAKE_PARTS = WORKERS + 8
WAKE_WORKERS = WORKERS + 96
SYSCALL = WORKERS + 16  # libc's syscall; 0: there are no futexes
FUTEX = WORKERS + 24  # numbers of system calls
SET_AFFINITY = WORKERS + 32
GET_CPU = WORKERS + 40  # sched_getcpu
NAP = WORKERS + 48  # usleep
YIELD = WORKERS + 56  # sched_yield
BLAS_GET = WORKERS + 64
BLAS_SET = WORKERS + 72  # 0: BLAS has no threads that we know of
CPUS = WORKERS + 80  # how many processors the workers may use
AVOIDED = WORKERS + 88  # the processor that workers were last told to avoid
BLAS_LOCK = 6 * LINE
BLAS_USERS = BLAS_LOCK + 8
BLAS_THREADS = BLAS_LOCK + 16  # what the user had set
ALLOWED = 7 * LINE  # the set of processors that the workers may use, as bits
ALLOWED_BYTES = LINE
NARROWED = 8 * LINE  # the same without the one avoided
THREAD_IDS = 9 * LINE  # of the workers, as the OS numbers them
CLAIMS = THREAD_IDS + 8 * MOST_THREADS
STATE_BYTES = CLAIMS + MOST_THREADS * LINE

SPINS = 2000  # looks at `sequence` before a worker sleeps: 30 to 90 microseconds
PATIENCE = 500  # looks at `pending` before a caller offers its processor to others
SHORTEST_NAP = 50  # microseconds, where there is no futex
LONGEST_NAP = 1000

BEGIN, END = -1, -2  # the grains of rows that begin a loop and end its step
BLOCK = ("done", "steps", "sets", "copies", "advances", "toggles", "rows")

_HEADER = f"""
from symgrad.emit.intrinsics import floor_divide, minimum
from symgrad.emit.intrinsics.native import (
    atomic_add,
    atomic_load,
    atomic_store,
    call_int,
    call_kernel,
    compare_exchange,
    load,
    pause,
    store,
    system_call,
)

SEQUENCE, SLEEPERS, OWNER, PENDING = {SEQUENCE}, {SLEEPERS}, {OWNER}, {PENDING}
ROW, PARTS, WORKERS, TAKE_PARTS = {ROW}, {PARTS}, {WORKERS}, {TAKE_PARTS}
SYSCALL, FUTEX, NAP, YIELD = {SYSCALL}, {FUTEX}, {NAP}, {YIELD}
BLAS_GET, BLAS_SET, BLAS_LOCK = {BLAS_GET}, {BLAS_SET}, {BLAS_LOCK}
BLAS_USERS, BLAS_THREADS = {BLAS_USERS}, {BLAS_THREADS}
CLAIMS, LINE = {CLAIMS}, {LINE}
FUTEX_WAIT_PRIVATE, FUTEX_WAKE_PRIVATE = 128, 129
"""

TAKE = f'''"""Claim and run parts of the published row, number `me` first.

Part t of T runs lo + grain*ceil(units*t/T) up to lo + grain*ceil(units*(t+1)/T) with
the operands' block t, where `units` is the number of grains in lo:hi.
"""
{_HEADER}

def kernel(state, me, sequence):
    parts = atomic_load(state + PARTS)
    fn = atomic_load(state + ROW)
    operands = atomic_load(state + ROW + 8)
    lo = atomic_load(state + ROW + 16)
    hi = atomic_load(state + ROW + 24)
    grain = atomic_load(state + ROW + 32)
    stride = atomic_load(state + ROW + 40)
    if atomic_load(state + SEQUENCE) != sequence or me >= parts:
        return
    units = floor_divide(hi - lo + grain - 1, grain)
    for offset in range(parts):
        t = me + offset
        if t >= parts:
            t -= parts
        claim = state + CLAIMS + LINE * t
        taken = atomic_load(claim)
        if taken < sequence and compare_exchange(claim, taken, sequence):
            first = lo + grain * floor_divide(units * t + parts - 1, parts)
            last = lo + grain * floor_divide(units * (t + 1) + parts - 1, parts)
            first, last = minimum(first, hi), minimum(last, hi)
            call_kernel(fn, operands + t * stride, first, last)
            atomic_add(state + PENDING, -1)
'''

WORK = f'''"""Wait for rows and take parts of them, as worker `me`, without end.

The wait is first a loop, then sleep.  With a futex, the kernel puts the thread to
sleep only if the sequence still is what was seen, so that no row is slept through.
"""
{_HEADER}
SPINS, SHORTEST_NAP, LONGEST_NAP = {SPINS}, {SHORTEST_NAP}, {LONGEST_NAP}


def kernel(state, me, seen):
    looks = 0
    nap = SHORTEST_NAP
    while looks >= 0:
        sequence = atomic_load(state + SEQUENCE)
        if sequence != seen and sequence & 1 == 0:
            seen = sequence
            looks = 0
            nap = SHORTEST_NAP
            call_kernel(load(state + TAKE_PARTS), state, me, sequence)
        elif looks < SPINS:
            looks += 1
            pause()
        elif load(state + SYSCALL) != 0:
            atomic_add(state + SLEEPERS, 1)
            system_call(
                load(state + SYSCALL),
                load(state + FUTEX),
                state + SEQUENCE,
                FUTEX_WAIT_PRIVATE,
                seen,
            )
            atomic_add(state + SLEEPERS, -1)
        else:
            call_int(load(state + NAP), nap)
            nap = minimum(2 * nap, LONGEST_NAP)
'''

WAKE = f'''"""Wake the workers, on other processors than the caller's.

Some systems wake a thread on the processor of the one that woke it, where the two
then take turns.  So when all threads have room, workers keep off the processor that
the caller is on; only its moving to another costs system calls.
"""
{_HEADER}
SET_AFFINITY, GET_CPU, CPUS, AVOIDED = {SET_AFFINITY}, {GET_CPU}, {CPUS}, {AVOIDED}
ALLOWED, NARROWED, ALLOWED_BYTES = {ALLOWED}, {NARROWED}, {ALLOWED_BYTES}
THREAD_IDS, MOST_THREADS = {THREAD_IDS}, {MOST_THREADS}


def kernel(state, threads, unused):
    syscall = load(state + SYSCALL)
    if threads <= load(state + CPUS):
        cpu = call_int(load(state + GET_CPU), 0)
        if cpu != load(state + AVOIDED):
            store(state + AVOIDED, cpu)
            for word in range(0, ALLOWED_BYTES, 8):
                bits = load(state + ALLOWED + word)
                if cpu >= 8 * word and cpu < 8 * word + 64:
                    bits &= ~(1 << (cpu - 8 * word))
                store(state + NARROWED + word, bits)
            for worker in range(1, load(state + WORKERS) + 1):
                system_call(
                    syscall,
                    load(state + SET_AFFINITY),
                    load(state + THREAD_IDS + 8 * worker),
                    ALLOWED_BYTES,
                    state + NARROWED,
                )
    system_call(
        syscall, load(state + FUTEX), state + SEQUENCE, FUTEX_WAKE_PRIVATE, MOST_THREADS
    )
'''

RUN = f'''"""Run the rows [fn, operands, lo, hi, grain, operand_stride] of a table.

Rows of grain 0 run here; others are split into `threads` parts.  The result is the
number of rows not run, because they wait for workers that have yet to be started.
BLAS keeps to the calling thread meanwhile; the last run to end restores its threads.

A row of grain -1 begins a loop and one of grain -2 ends its step; their operands are
the loop's block: [steps done, steps, counts of four lists, rows of a step], and then

    set     (cell, cell with an address, bytes to add), when the loop begins
    copy    (cell, cell), after each step
    advance (cell, bytes), after each step
    toggle  (cell, bits that change), after each step
"""
{_HEADER}
PATIENCE, WAKE_WORKERS = {PATIENCE}, {WAKE_WORKERS}
BEGIN, END, BLOCK = {BEGIN}, {END}, {8 * len(BLOCK)}


def kernel(table, rows, threads, state):
    set_blas_threads = load(state + BLAS_SET)
    if set_blas_threads != 0:
        while not compare_exchange(state + BLAS_LOCK, 0, 1):
            pause()
        if load(state + BLAS_USERS) == 0:
            store(state + BLAS_THREADS, call_int(load(state + BLAS_GET), 0))
            call_int(set_blas_threads, 1)
        store(state + BLAS_USERS, load(state + BLAS_USERS) + 1)
        atomic_store(state + BLAS_LOCK, 0)

    owner = False
    left = rows
    while left > 0:
        row = table + 48 * (rows - left)
        fn = load(row)
        operands = load(row + 8)
        lo = load(row + 16)
        hi = load(row + 24)
        grain = load(row + 32)
        if grain == 0:
            call_kernel(fn, operands, lo, hi)
            left -= 1
            continue
        if grain == BEGIN:
            entry = operands + BLOCK
            for _ in range(load(operands + 16)):
                store(load(entry), load(load(entry + 8)) + load(entry + 16))
                entry += 24
            store(operands, 0)
            left -= 1
            if load(operands + 8) <= 0:
                left -= load(operands + 48) + 1
            continue
        if grain == END:
            entry = operands + BLOCK + 24 * load(operands + 16)
            for _ in range(load(operands + 24)):
                store(load(entry), load(load(entry + 8)))
                entry += 16
            for _ in range(load(operands + 32)):
                store(load(entry), load(load(entry)) + load(entry + 8))
                entry += 16
            for _ in range(load(operands + 40)):
                store(load(entry), load(load(entry)) ^ load(entry + 8))
                entry += 16
            store(operands, load(operands) + 1)
            if load(operands) < load(operands + 8):
                left += load(operands + 48)
            else:
                left -= 1
            continue
        if threads > 1 and not owner:
            if load(state + WORKERS) < threads - 1:
                break
            owner = compare_exchange(state + OWNER, 0, 1)
        stride = load(row + 40)
        units = floor_divide(hi - lo + grain - 1, grain)
        if owner and units > 1:
            sequence = load(state + SEQUENCE) + 2
            atomic_store(state + SEQUENCE, sequence - 1)
            for field in range(0, 48, 8):
                atomic_store(state + ROW + field, load(row + field))
            atomic_store(state + PARTS, threads)
            atomic_store(state + PENDING, threads)
            atomic_store(state + SEQUENCE, sequence)
            if atomic_load(state + SLEEPERS) > 0:
                call_kernel(load(state + WAKE_WORKERS), state, threads, 0)
            call_kernel(load(state + TAKE_PARTS), state, 0, sequence)
            looks = 0
            while atomic_load(state + PENDING) > 0:
                looks += 1
                pause()
                if looks > PATIENCE:
                    call_int(load(state + YIELD), 0)
        else:
            for t in range(threads):
                first = lo + grain * floor_divide(units * t + threads - 1, threads)
                last = lo + grain * floor_divide(
                    units * (t + 1) + threads - 1, threads
                )
                first, last = minimum(first, hi), minimum(last, hi)
                call_kernel(fn, operands + t * stride, first, last)
        left -= 1

    if owner:
        atomic_store(state + OWNER, 0)
    if set_blas_threads != 0:
        while not compare_exchange(state + BLAS_LOCK, 0, 1):
            pause()
        store(state + BLAS_USERS, load(state + BLAS_USERS) - 1)
        if load(state + BLAS_USERS) == 0:
            call_int(set_blas_threads, load(state + BLAS_THREADS))
        atomic_store(state + BLAS_LOCK, 0)
    return left
'''
