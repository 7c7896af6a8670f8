"""A PyTorch module's values and gradients against those of its graph."""

import numpy as np
import pytest

import symgrad as sg
from symgrad.declare.tensor import Tensor
from symgrad.interop.torch_import.public import from_torch
from tests.reference import evaluate_graph

torch = pytest.importorskip("torch")  # doctests are looked for in every module


def leaves(structure):
    """Return the tensors of a structure in PyTorch's order."""
    return torch.utils._pytree.tree_leaves(structure)


def arrays_of(args):
    """Return the tensors among the arguments as arrays."""
    return [t.numpy() for t in leaves(args) if isinstance(t, torch.Tensor)]


def by_torch(module, args, weights):
    """Return a module's outputs, and the gradients of Σ weights·outputs."""
    given = torch.utils._pytree.tree_map(
        lambda t: (
            t.clone().requires_grad_(t.is_floating_point())
            if isinstance(t, torch.Tensor)
            else t
        ),
        args,
    )
    outputs = [t for t in leaves(module(*given)) if isinstance(t, torch.Tensor)]
    floats = [t for t in outputs if t.requires_grad]
    loss = sum((t * w).sum() for t, w in zip(floats, weights(floats), strict=True))
    wanted = [
        t
        for t in [*leaves(given), *module.parameters()]
        if isinstance(t, torch.Tensor) and t.requires_grad
    ]
    found = torch.autograd.grad(loss, wanted, allow_unused=True) if floats else []
    return [t.detach().numpy() for t in outputs], found


def weights(tensors):
    return [torch.cos(torch.arange(t.numel())).reshape(t.shape).to(t) for t in tensors]


def check(module, *args, rtol=1e-9, compiled=False, **options):
    """Compare values, and gradients by inputs and parameters, in float64."""
    module = module.double()
    args = torch.utils._pytree.tree_map(
        lambda t: (
            t.double() if isinstance(t, torch.Tensor) and t.is_floating_point() else t
        ),
        args,
    )
    options.setdefault("dynamic_shapes", None)
    model = from_torch(module, args, **options)
    outputs = [t for t in leaves(model.outputs) if isinstance(t, Tensor)]
    wanted, gradients = by_torch(module, args, weights)
    inputs = list(model.inputs.values())
    tied = {id(p): p for p in module.parameters()}
    names = {id(p): n for n, p in module.named_parameters(remove_duplicate=False)}
    learned = [model.params[names[k]] for k, p in tied.items() if p.requires_grad]
    wrt = [t for t in inputs if t.dtype == "float64"] + learned
    by_name = dict(zip(model.inputs, arrays_of(args), strict=True))
    pairs = [(w, g) for w, g in zip(wrt, gradients, strict=False) if g is not None]
    found = [t for t in outputs if t.dtype == "float64"]
    cotangents = []
    if pairs:
        for n, t in enumerate(found):
            cotangents.append(sg.input(f"cotangent{n}", t.shape, t.dtype))
        parts = [sg.sum(t * w) for t, w in zip(found, cotangents, strict=True)]
        loss = sum(parts[1:], start=parts[0])
        outputs = outputs + sg.grad(loss, [w for w, _ in pairs])
        shown = [torch.zeros(a.shape) for a in wanted if a.dtype == np.float64]
        for t, w in zip(cotangents, weights(shown), strict=True):
            by_name[t.name] = w.double().numpy()
    if compiled:
        params = sg.init(outputs)
        run = sg.compile([*inputs, *cotangents], outputs)
        got = run(*by_name.values(), params=params)
    else:
        given = {t: by_name[t.name] for t in [*inputs, *cotangents]}
        given |= {p: p.op.init for p in model.params.values()}
        got = evaluate_graph(outputs, given)
    right = wanted + [g.numpy() for _, g in pairs]
    for n, (a, b) in enumerate(zip(got, right, strict=True)):
        assert np.shape(a) == b.shape, f"result {n}: {np.shape(a)}, not {b.shape}"
        np.testing.assert_allclose(a, b, rtol, rtol, err_msg=f"result {n}")
    return model
