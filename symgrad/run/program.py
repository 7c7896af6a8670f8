"""Programs: compiled graphs that take and give NumPy arrays."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from symgrad.declare import conditions
from symgrad.declare.tensor import Tensor
from symgrad.emit.kernels import texts as emitted
from symgrad.run import kernels
from symgrad.run.arrays import ArgumentBinder, ArgumentSpec
from symgrad.run.declared import Declared
from symgrad.run.layout import Layout, Parts
from symgrad.run.pool import checked_threads, default_threads
from symgrad.serialize.graph import Declaration

#: Layouts for so many combinations of sizes are kept; the one used longest ago goes.
MOST_LAYOUTS = 16


class Program(Declared):
    """A compiled graph; call it with arrays, get arrays.

    >>> import numpy as np, symgrad as sg
    >>> x = sg.input("x", ("n",))
    >>> double = sg.compile([x], 2*x)
    >>> double(np.ones(3, np.float32))
    array([2., 2., 2.], dtype=float32)
    """

    def __init__(self, parts: Parts, declaration: Declaration) -> None:
        super().__init__(declaration, parts.params)
        self._parts = parts
        texts = [k.text for k in emitted(parts.kernels)]
        start = time.perf_counter()
        self._addresses = kernels.addresses(texts)
        parts.seconds["compile"] = time.perf_counter() - start
        self.threads = (
            default_threads()
            if parts.threads is None
            else checked_threads(parts.threads)
        )
        self._bound: dict[str, np.ndarray] | None = None if parts.params else {}
        self._layouts: OrderedDict[tuple, Layout] = OrderedDict()
        self._last: Layout | None = None
        self._bound_arrays: tuple[np.ndarray, ...] = ()
        self._lock = threading.Lock()

    # -- calling -----------------------------------------------------------------------

    def _run(self, args: tuple, params: Mapping[str, Any] | None) -> Any:
        if params is not None or self._bound is None:
            arrays = (*args, *self._given(params))
        else:
            arrays = (*args, *self._bound_arrays)
        with self._lock:
            found = None if self._last is None else self._last.attempt(arrays)
            if found is None:
                layout, arrays = self._fit(arrays)
                found = layout.attempt(arrays)
            if found is None:
                raise AssertionError("arguments do not bind")
            return found

    def on_exact(self, arrays: tuple) -> Any:
        """Return the outputs for arrays just like those of the last call, or None.

        It is None, and nothing has run, where an array differs in shape, type or layout
        from what the kernels take, or parameters are missing.
        """
        layout = self._last
        if layout is None or self._param_names:
            return None
        with self._lock:
            return layout.attempt(arrays)

    def bind(self, params: Mapping[str, np.ndarray]) -> None:
        """Keep these parameter arrays; updates are written into them, in place.

        Raises:
            GraphError: a parameter is missing or unknown.
            ShapeError, DTypeError: an array is not as declared, or cannot be written.
        """
        self._bound_arrays = self._given(params)
        self._bound = dict(zip(self._param_names, self._bound_arrays, strict=True))

    def _fit(self, arrays: tuple) -> tuple[Layout, tuple]:
        """Return the layout for the sizes of these arrays, and the arrays converted."""
        tensors = [*self._parts.inputs, *self._parts.params]
        written = set(self._parts.updates)
        specs = [
            ArgumentSpec(
                t.name or "", np.dtype(t.dtype), _spec_shape(t), (), t in written
            )
            for t in tensors
        ]
        checker = ArgumentBinder(specs, np.zeros(1, np.int64))
        arrays = checker.convert(arrays)
        sizes = conditions.sizes_of(tensors, [a.shape for a in arrays])
        conditions.check(self._parts.conditional, sizes)
        self._last = self._layout(sizes)
        self.quick = self._last.quick()
        return self._last, arrays

    def _layout(self, sizes: Mapping[str, int]) -> Layout:
        key = tuple(sorted(sizes.items()))
        if key not in self._layouts:
            made = Layout(self._parts, self._addresses, self.threads, sizes)
            self._layouts[key] = made
            if len(self._layouts) > MOST_LAYOUTS:
                self._layouts.popitem(last=False)
        self._layouts.move_to_end(key)
        return self._layouts[key]

    # -- looking -----------------------------------------------------------------------

    @property
    def source(self) -> str:
        """The emitted Numba source, each kernel headed by the formula it computes."""
        parts: list[str] = []
        seen: dict[str, int] = {}
        for k in emitted(self._parts.kernels):
            if k.text not in seen:
                seen[k.text] = len(seen)
                parts.append(f"# kernel {seen[k.text]}\n{k.text}")
        return "\n\n".join(parts)

    def report(self) -> dict[str, Any]:
        """Return what the program consists of and costs, for the last sizes used.

        ``kernels``, ``unique_kernels``, ``flops``, ``bytes`` (read and written),
        ``arena_bytes``, ``compile_seconds``, ``load_seconds``, ``cache_hits`` and the
        seconds of each stage.
        """
        found = list(emitted(self._parts.kernels))
        layout = self._last
        if layout is None and not _names_of(self._parts):
            layout = self._layout({})
        seconds = self._parts.seconds
        return {
            "kernels": len(found),
            "unique_kernels": len({k.text for k in found}),
            "flops": layout.flops if layout else None,
            "bytes": layout.bytes if layout else None,
            "arena_bytes": layout.arena_bytes if layout else None,
            "compile_seconds": seconds.get("compile", 0.0),
            "load_seconds": seconds.get("load", 0.0),
            "cache_hits": seconds.get("cache_hits", 0),
            "stage_seconds": {n: s for n, s in seconds.items() if n != "cache_hits"},
        }


def _names_of(parts: Parts) -> set[str]:
    return {
        str(s)
        for t in (*parts.inputs, *parts.params)
        for s in t.shape
        if not isinstance(s, int)
    }


def _spec_shape(t: Tensor) -> tuple[int | str, ...]:
    return tuple(
        s if isinstance(s, int) else str(s) if str(s).isidentifier() else -1
        for s in t.shape
    )
