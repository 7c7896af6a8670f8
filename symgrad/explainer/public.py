"""``sg.explain``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from symgrad.declare import dtypes
from symgrad.declare.tensor import Tensor, print_shape
from symgrad.drawing.picture import write
from symgrad.errors import FormatError, GraphError, ShapeError
from symgrad.explainer import builtin
from symgrad.explainer.pace import paced
from symgrad.explainer.page import page
from symgrad.explainer.progress import shown_on_stderr
from symgrad.explainer.scenes import SCENES, plan
from symgrad.explainer.story import Scene, plural
from symgrad.explainer.subject import Subject
from symgrad.train.data import check_keys, checked_dict, inputs_of
from symgrad.train.trainer import Trainer


def explain(
    loss: Any = None,
    data: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    name: str = "this model",
) -> Explanation:
    """Return an animated page that walks a model through every idea of its gradients.

    About two minutes: the learning problem, descent, the chain rule, the forward and
    the backward pass, vanishing gradients, ReLU, shortcuts and highways, transformers,
    LoRA, instabilities and the formulas to keep; each with the model's own numbers,
    derived and measured.  What a model does not hold is shown on a built-in one, and
    said to be.

    Args:
        loss: a scalar, or a trainer; by default a residual network on digits.
        data: an array for each input by name; 256 samples are taken of more.
        params: parameters by name; by default those of the trainer, or as
            ``sg.init(loss, seed=0)`` makes them.
        name: what captions call the model.

    Raises:
        GraphError: it is neither a loss nor a trainer, or arrays are missing.
        ShapeError: the loss is not a scalar.

    >>> explain("loss")
    Traceback (most recent call last):
        ...
    symgrad.errors.GraphError: sg.explain takes a loss or a trainer, not str 'loss'
    """
    if loss is None:
        if data is not None or params is not None:
            raise GraphError("data= and params= belong to a loss; give it as well")
        return Explanation(builtin.default())
    trainer = loss if isinstance(loss, Trainer) else None
    scalar = trainer.loss if trainer is not None else loss
    if not isinstance(scalar, Tensor):
        raise GraphError(
            f"sg.explain takes a loss or a trainer, not {type(loss).__name__} {loss!r}"
        )
    if scalar.shape != () or not dtypes.is_float(scalar.dtype):
        raise ShapeError(
            f"sg.explain takes a scalar, but {scalar.describe()} has the shape "
            f"{print_shape(scalar.shape)}; take its mean"
        )
    check_keys("data", checked_dict("data", data or {}), inputs_of([scalar]))
    rate = None
    if trainer is not None:
        params = trainer.params if params is None else params
        rate = trainer.optimizer.rate(max(trainer.steps - 1, 0))
    return Explanation(Subject(scalar, data or {}, params, name=name, rate=rate))


class Explanation:
    """An animated page about a model.

    Attributes:
        scenes: what is told, in order.
        seconds: how long it plays.
        html: the page, which needs nothing else.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        subject.plan = plan

    @cached_property
    def scenes(self) -> list[Scene]:
        """The scenes, in order; on a terminal, progress is shown meanwhile."""
        s = self.subject
        before = {
            "deriving the gradients": lambda: s.adjoints,
            "compiling and measuring": lambda: s.values,
            "diagnosing": lambda: s.diagnosis,
        }
        with shown_on_stderr(len(before) + len(SCENES)) as begin:
            for what, work in before.items():
                begin(what)
                work()
            found: list[Scene] = []
            for make in SCENES:
                begin(f"scene {len(found) + 1} of {len(SCENES)}")
                found.append(make(s))
        return paced(found)

    @property
    def seconds(self) -> float:
        """How long the page plays."""
        return sum(s.seconds for s in self.scenes)

    @cached_property
    def html(self) -> str:
        """The page as HTML text."""
        s = self.subject
        trained, frozen = s.parameters
        parts = [plural(s.depth, "layer"), plural(trained, "trained parameter")]
        parts += [f"{frozen:,} frozen"] if frozen else []
        parts += [f"a batch of {s.count:,}"] if s.count else []
        subtitle = f"{s.name.capitalize()}: {', '.join(parts)}."
        return page("How gradients flow", subtitle, self.scenes)

    @property
    def storyboard(self) -> str:
        """Titles and captions as text."""
        return "\n\n".join(
            "\n".join([f"{n}. {s.title}", *(f"   {text}" for _, text in s.beats)])
            for n, s in enumerate(self.scenes, start=1)
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to a file, all of it or nothing; return the path.

        Raises:
            FormatError: the suffix is not ``.html``, or it cannot be written.
        """
        target = Path(path)
        if target.suffix.lower() not in (".html", ".htm"):
            raise FormatError(
                f"cannot save an explanation as {target.name!r}; its suffix is .html"
            )
        write(target, self.html.encode(), "the page")
        return target

    def _repr_html_(self) -> str:
        from html import escape

        return (
            '<iframe style="width:100%;height:640px;border:0" '
            f'title="How gradients flow" srcdoc="{escape(self.html)}"></iframe>'
        )

    def __repr__(self) -> str:
        return f"<Explanation of {self.subject.name}: {len(SCENES)} scenes>"
