"""CasADi: symbolic graphs, run by its virtual machine into memory of its own.

The Hessian of the quadratic form is left out: it was not ready after ten minutes.
"""

import casadi
import numpy as np

from ..derivatives import arm_position, rosenbrock
from . import Task


def _task(inputs, outputs, arrays, names, shapes):
    function = casadi.Function("f", inputs, [casadi.densify(o) for o in outputs])
    buffer, evaluate = function.buffer()
    operands = [arrays[n].ravel(order="F").copy() for n in names]
    results = [np.zeros(int(np.prod(shape))) for shape in shapes]
    for n, a in enumerate(operands):
        buffer.set_arg(n, memoryview(a))
    for n, a in enumerate(results):
        buffer.set_res(n, memoryview(a))
    memory = (function, buffer, operands, results)

    def run():
        evaluate()
        return memory

    def read(found):
        pairs = zip(found[-1], shapes, strict=True)
        return [a.reshape(shape, order="F").copy() for a, shape in pairs]

    return Task(run, read)


def _symbols(arrays, *names):
    return [casadi.MX.sym(n, *arrays[n].shape) for n in names]


def logistic_hessian(arrays):
    X, w, y = _symbols(arrays, "X", "w", "y")
    z = X @ w
    hessian, _ = casadi.hessian(casadi.sum1(casadi.log1p(casadi.exp(z)) - y * z), w)
    n = arrays["w"].size
    return _task([X, w, y], [hessian], arrays, ("X", "w", "y"), [(n, n)])


def least_squares(arrays):
    X, w, y = _symbols(arrays, "X", "w", "y")
    hessian, slope = casadi.hessian(casadi.sumsqr(X @ w - y), w)
    n = arrays["w"].size
    shapes = [(n,), (n, n)]
    return _task([X, w, y], [slope, hessian], arrays, ("X", "w", "y"), shapes)


def rosenbrock_gradient(arrays):
    x = casadi.SX.sym("x", arrays["x"].size)
    slope = casadi.gradient(rosenbrock(x, casadi.sum1), x)
    return _task([x], [slope], arrays, ("x",), [arrays["x"].shape])


def arm_jacobian(arrays):
    q = casadi.SX.sym("q", 6)
    hand = arm_position(q, casadi.cos, casadi.sin, lambda p: casadi.vertcat(*p))
    return _task([q], [casadi.jacobian(hand, q)], arrays, ("q",), [(3, 6)])
