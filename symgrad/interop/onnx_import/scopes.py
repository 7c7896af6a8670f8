"""In which part of a model a node lies, from its name or from its exporter's notes."""

from __future__ import annotations

import re
from typing import Any

#: Where PyTorch's newer exporter notes the modules around a node.
_MODULES = "pkg.torch.onnx.name_scopes"


def scope_of(proto: Any) -> str:
    """Return the path of the modules around a node, ``""`` where none is known.

    A name is a path of which the last part is the node's own: ``/fc1/Gemm`` lies in
    ``fc1``, ``Relu_3`` in nothing.
    """
    noted = {p.key: p.value for p in getattr(proto, "metadata_props", ())}
    if _MODULES in noted:
        parts = _modules(noted[_MODULES])
    else:
        parts = proto.name.split("/")[:-1]
    return "/".join(p for p in parts if p and p.isprintable())


def _modules(text: str) -> list[str]:
    """Return the modules in a list of their whole names, which ends with the node's.

    >>> _modules("['', 'blocks', 'blocks.0', 'blocks.0.attn', 'linear_2']")
    ['blocks', 'blocks.0', 'attn']
    """
    parts: list[str] = []
    outer = ""
    for whole in re.findall(r"'([^']*)'", text)[:-1]:
        own = whole.removeprefix(f"{outer}.") if outer else whole
        numbered = parts and own.isdigit()
        parts.append(f"{parts[-1]}.{own}" if numbered else own)
        outer = whole
    return [p for p in parts if p]
