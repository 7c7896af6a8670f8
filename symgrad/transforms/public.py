"""Derivatives, vectorization and compilation: of tensors, or of Python functions.

Given a tensor, a name here works on graphs; given a function, it returns a function,
with the argument conventions of JAX (``argnums``, ``has_aux``, ``in_axes``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from symgrad.derivation import reverse
from symgrad.errors import GraphError
from symgrad.transforms import differentiate, pullback, vectorize
from symgrad.transforms import jacobian as closed_form
from symgrad.transforms.arguments import as_key
from symgrad.transforms.programs import Function, check_callable, function_name

Argnums = int | Sequence[int]


def grad(fun: Any, wrt: Any = None, argnums: Argnums = 0, has_aux: bool = False) -> Any:
    """Return the gradient of a scalar tensor, or the gradient function of a function.

    Args:
        fun: a scalar tensor of a float type; or a function that returns a scalar.
        wrt: for a tensor: what to differentiate by, a tensor, a list or a dict.
        argnums: for a function: the position, or positions, of the arguments to
            differentiate by.  They are trees of float32 or float64 arrays.
        has_aux: the function returns ``(value, aux)``; the result is then
            ``(gradient, aux)``.

    Returns:
        The gradient graph in the structure of ``wrt``.  Or a function of the same
        arguments that returns the gradient in the structure of the argument (a tuple
        where ``argnums`` is one), each array of the shape and type of what it is by.

    Raises:
        ShapeError: the value is not a scalar.
        DTypeError: an argument to differentiate by is not of a float type.
        GraphError: a tensor in ``wrt`` is frozen, or unreached; there is no such
            argument.

    A function is traced once for each structure, shape and type of its arguments:
    arrays that it closes over keep the values that they had then.

    >>> import symgrad as sg
    >>> x = sg.input("x", ("n",))
    >>> print(sg.formula(grad(sg.sum(x * x), x)))
    2 x
    >>> float(grad(lambda x: x**3)(2.0)), float(grad(grad(lambda x: x**3))(2.0))
    (12.0, 12.0)
    """
    if not callable(fun):
        return reverse.grad(fun, wrt)
    argnums = _argnums("sg.grad", fun, wrt, argnums)
    inline = differentiate.grad(fun, argnums, has_aux)
    return Function(inline, fun, ("grad", argnums, has_aux))


def value_and_grad(
    fun: Any, wrt: Any = None, argnums: Argnums = 0, has_aux: bool = False
) -> Any:
    """Return ``(value, gradient)`` of a tensor, or the function that computes both.

    With ``has_aux`` the function gives ``((value, aux), gradient)``.  Arguments and
    errors are those of ``sg.grad``.

    >>> value, slope = value_and_grad(lambda x: x**3)(2.0)
    >>> float(value), float(slope)
    (8.0, 12.0)
    """
    what = "sg.value_and_grad"
    if not callable(fun):
        return fun, reverse.grad(fun, wrt)
    argnums = _argnums(what, fun, wrt, argnums)
    inline = differentiate.value_and_grad(what, fun, argnums, has_aux)
    return Function(inline, fun, ("value_and_grad", argnums, has_aux))


def jacobian(
    fun: Any, wrt: Any = None, argnums: Argnums = 0, has_aux: bool = False
) -> Any:
    """Return the Jacobian of a tensor, or the Jacobian function of a function.

    Args:
        fun: a tensor of a float type; or a function that returns a tree of them.
        wrt: for a tensor: as for ``sg.grad``.
        argnums: for a function: as for ``sg.grad``.
        has_aux: the function returns ``(value, aux)``.

    Returns:
        For a tensor ``t`` and each tensor ``x`` in ``wrt``: a tensor of shape
        ``(*t.shape, *x.shape)``.  For a function: a function that returns such arrays,
        in the structure of the result, each holding the structure of the argument.

    The order of accumulation (forward, reverse) is the one whose simplified graph
    costs fewer operations: Kronecker deltas are eliminated from both, so that a
    diagonal or low-rank Jacobian is computed as one.

    Raises:
        DTypeError, GraphError: as ``sg.grad``; a result is not of a float type.

    Source: Laue, Mitterreiter & Giesen, "Computing Higher Order Derivatives of Matrix
    and Tensor Expressions" (2018).

    >>> import numpy as np
    >>> jacobian(lambda x: np.stack([x[0] * x[1], x[1] ** 2]))(np.array([2.0, 3.0]))
    array([[3., 2.],
           [0., 6.]])
    """
    if not callable(fun):
        return closed_form.jacobian(fun, wrt)
    argnums = _argnums("sg.jacobian", fun, wrt, argnums)
    inline = differentiate.jacobian("sg.jacobian", fun, argnums, has_aux)
    return Function(inline, fun, ("jacobian", argnums, has_aux))


def hessian(
    fun: Any, wrt: Any = None, argnums: Argnums = 0, has_aux: bool = False
) -> Any:
    """Return the second derivatives of a scalar tensor, or their function.

    Args:
        fun: a scalar tensor; or a function that returns a float tensor.
        wrt: for a tensor: as for ``sg.grad``.
        argnums: for a function: as for ``sg.grad``.
        has_aux: the function returns ``(value, aux)``.

    Returns:
        For one tensor ``x``: a tensor of shape ``(*x.shape, *x.shape)``.  For a
        structure: that structure, each place holding the structure again.  For a
        function: a function that returns such arrays.

    Raises:
        DTypeError, GraphError, ShapeError: as ``sg.grad``.

    >>> import numpy as np
    >>> hessian(lambda x: np.prod(x))(np.array([2.0, 3.0]))
    array([[0., 1.],
           [1., 0.]])
    """
    if not callable(fun):
        return closed_form.hessian(fun, wrt)
    argnums = _argnums("sg.hessian", fun, wrt, argnums)
    inline = differentiate.hessian(fun, argnums, has_aux)
    return Function(inline, fun, ("hessian", argnums, has_aux))


def jvp(
    fun: Any,
    primals: Any = None,
    tangents: Any = None,
    has_aux: bool = False,
    *,
    wrt: Any = None,
) -> Any:
    """Push tangents forward through a graph, or through a function.

    Args:
        fun: tensors of a graph; or a function.
        primals: the tensors to differentiate by; or the tuple of all arguments.
        tangents: in the structure of ``primals``.
        has_aux: the function returns ``(value, aux)``.
        wrt: another name of ``primals``, for tensors.

    Returns:
        For tensors: their tangents.  For a function: ``(value, tangent)``, or
        ``(value, tangent, aux)``.

    Raises:
        GraphError, ShapeError: the tangents do not fit the primals, naming where.
        DTypeError: an argument is not of a float type.

    >>> value, tangent = jvp(lambda x: x**3, (2.0,), (1.0,))
    >>> float(value), float(tangent)
    (8.0, 12.0)
    """
    if not callable(fun):
        return reverse.jvp(fun, primals if wrt is None else wrt, tangents)
    inline = differentiate.jvp(fun, has_aux)
    return Function(inline, fun, ("jvp", has_aux), inline)(primals, tangents)


def vjp(fun: Any, *primals: Any, has_aux: bool = False, **named: Any) -> Any:
    """Pull cotangents back through a graph, or through a function.

    Args:
        fun: tensors of a graph; or a function.
        primals: for a graph: ``wrt`` and ``cotangents``; for a function: its arguments.
        has_aux: the function returns ``(value, aux)``.
        named: for a graph: ``wrt`` and ``cotangents`` by name.

    Returns:
        For a graph: the cotangents of ``wrt``.  For a function: ``(value, pull)``, or
        ``(value, pull, aux)``, where ``pull`` takes cotangents in the structure of the
        value and returns a tuple with those of every argument.

    ``pull`` is a program of the backward pass alone: what that reads of the forward
    pass is kept.  It reads the arrays of the arguments where they are: they must
    not change before it is called.

    Raises:
        GraphError, ShapeError: the cotangents do not fit the value, naming where.
        DTypeError: an argument is not of a float type.

    >>> value, pull = vjp(lambda x, y: x * y, 2.0, 3.0)
    >>> float(value), [float(g) for g in pull(1.0)]
    (6.0, [3.0, 2.0])
    """
    if not callable(fun):
        return reverse.vjp(fun, *primals, **named)
    if named:
        raise GraphError(
            f"sg.vjp of a function takes no keyword argument {next(iter(named))!r}; "
            "give its arguments by position"
        )
    return pullback.vjp(fun, primals, has_aux)


def hvp(
    fun: Any,
    primals: Any = None,
    tangents: Any = None,
    *,
    wrt: Any = None,
    v: Any = None,
) -> Any:
    """Return the product of the Hessian with a vector, without the Hessian.

    Args:
        fun: a scalar tensor; or a function that returns a scalar.
        primals: the tensors to differentiate by; or the tuple of all arguments.
        tangents: the vector, in the structure of ``primals``.
        wrt: another name of ``primals``, for a tensor.
        v: another name of ``tangents``, for a tensor.

    Returns:
        For a tensor: the product, in the structure of ``primals``.  For a function:
        that of its argument, or a tuple where there are several.

    Raises:
        GraphError, ShapeError, DTypeError: as ``sg.jvp`` and ``sg.grad``.

    Source: Pearlmutter, "Fast Exact Multiplication by the Hessian" (1994).

    >>> import numpy as np
    >>> x, v = np.array([2.0, 3.0]), np.array([1.0, 0.0])
    >>> hvp(lambda x: np.sum(x**3), (x,), (v,))
    array([12.,  0.])
    """
    if not callable(fun):
        point, vector = (primals if wrt is None else wrt), tangents if v is None else v
        return closed_form.hvp(fun, point, vector)
    inline = differentiate.hvp(fun)
    return Function(inline, fun, ("hvp",), inline)(primals, tangents)


def sparse_jacobian(fun: Any, wrt: Any = None, argnums: Argnums = 0) -> Any:
    """Return the Jacobian as a sparse matrix, of a tensor or of a function.

    The structure is found from the index maps of the graph: elementwise operations
    give a diagonal, shifted reads bands, gathers with constant indices, joined parts
    and products with constant matrices that have zeros what they are.  Columns without
    a common row share one product with a vector; dense rows are taken in reverse.

    Args:
        fun: a tensor of a float type; or a function that returns a tree of them.
        wrt: for a tensor: the tensor to differentiate by.
        argnums: for a function: as for ``sg.grad``.

    Returns:
        For a tensor: a ``SparseJacobian``; its ``.compile(inputs)`` is a function to
        SciPy CSR arrays.  For a function: a function that returns SciPy CSR arrays,
        in the structure of ``sg.jacobian``.  Rows and columns are the elements of
        result and argument in row-major order.

    Raises:
        ShapeError: a dimension is not an integer.
        DTypeError, GraphError: as ``sg.jacobian``.
        DerivationError: a statement has too many iterations to look through.

    Sources: Curtis, Powell & Reid, "On the Estimation of Sparse Jacobian Matrices"
    (1974); Coleman & Verma, "The Efficient Computation of Sparse Jacobian Matrices
    Using Automatic Differentiation" (1998).

    >>> import numpy as np
    >>> found = sparse_jacobian(lambda x: x[1:] * x[:-1])(np.array([1.0, 2.0, 3.0]))
    >>> found.toarray(), found.nnz
    (array([[2., 1., 0.],
           [0., 3., 2.]]), 4)
    """
    from symgrad.transforms import sparse

    if not callable(fun):
        return sparse.sparse_jacobian(fun, wrt)
    argnums = _argnums("sg.sparse_jacobian", fun, wrt, argnums)
    return Function(sparse.jacobian(fun, argnums), fun, ("sparse_jacobian", argnums))


def sparse_hessian(fun: Any, wrt: Any = None, argnums: Argnums = 0) -> Any:
    """Return the Hessian as a sparse matrix, of a scalar tensor or of a function.

    Arguments and results are as for ``sg.sparse_jacobian``.  The structure is that of
    the gradient's Jacobian, whose symmetry saves products: a dense row comes from its
    column.

    Raises:
        ShapeError: the value is not a scalar, or a dimension is not an integer.
        DTypeError, GraphError, DerivationError: as ``sg.sparse_jacobian``.

    Source: Powell & Toint, "On the Estimation of Sparse Hessian Matrices" (1979).

    >>> import numpy as np
    >>> found = sparse_hessian(lambda x: np.sum(x[1:] * x[:-1]))(np.ones(3))
    >>> found.toarray()
    array([[0., 1., 0.],
           [1., 0., 1.],
           [0., 1., 0.]])
    """
    from symgrad.transforms import sparse

    if not callable(fun):
        return sparse.sparse_hessian(fun, wrt)
    argnums = _argnums("sg.sparse_hessian", fun, wrt, argnums)
    return Function(sparse.hessian(fun, argnums), fun, ("sparse_hessian", argnums))


def vmap(fun: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Function:
    """Return the function that applies ``fun`` along an axis of its arguments at once.

    Args:
        fun: a function of arrays.
        in_axes: the axis of each argument: an integer for all, or one entry for each
            positional argument: an integer (negative counts from the end), None (not
            mapped), or a tree of them as deep as wished.  Keyword arguments are mapped
            along axis 0.
        out_axes: where the new axis is in the results: an integer, or a tree of them;
            None where a result does not depend on what is mapped.

    Raises:
        ShapeError: the mapped axes differ in size, or an argument has no such axis.
        GraphError: the axes do not fit the structure of the arguments or results.

    >>> import numpy as np
    >>> rows = np.arange(6.0).reshape(3, 2)
    >>> vmap(lambda a, b: a @ b, in_axes=(0, None))(rows, np.array([1.0, 2.0]))
    array([ 2.,  8., 14.])
    """
    check_callable("sg.vmap", fun)
    inline = vectorize.vmap(fun, in_axes, out_axes)
    return Function(inline, fun, ("vmap", as_key(in_axes), as_key(out_axes)))


def jit(
    fun: Callable[..., Any] | None = None,
    *,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
) -> Any:
    """Return ``fun`` compiled; also a decorator.

    Args:
        fun: a function of trees of arrays and Python numbers.  A number is weak: it
            takes the type of the arrays beside it.
        static_argnums: positions of arguments that are constants to the trace: they
            may decide in Python, and the function is traced again for each value.
        static_argnames: names of such arguments.

    Returns:
        A function; ``.program(*args)`` gives the ``sg.Program`` that it runs.

    Raises:
        GraphError: Python control flow depends on an array, ``fun`` uses a tensor that
            is no argument, or a static argument has no hash.
        DTypeError: an argument, or a result, is not made of arrays, naming it.

    ``fun`` runs once for each structure, shape and type of the arguments, and not
    again: a side effect happens then, and arrays that it closes over keep the values
    that they had.  The most recently used 256 programs are kept.

    >>> import numpy as np
    >>> @jit
    ... def scale(x, factor):
    ...     return np.sin(x) * factor
    >>> scale(np.zeros(2), 3.0)
    array([0., 0.])
    """
    if fun is None:
        return lambda f: jit(
            f, static_argnums=static_argnums, static_argnames=static_argnames
        )
    check_callable("sg.jit", fun)
    return Function(
        fun,
        fun,
        ("jit",),
        static_argnums=static_argnums,
        static_argnames=static_argnames,
    )


def _argnums(
    what: str, fun: Callable[..., Any], wrt: Any, argnums: Argnums
) -> int | tuple[int, ...]:
    """Return ``argnums`` of a function; the second argument may also hold them."""
    if wrt is not None:
        argnums = wrt
    listed = [argnums] if isinstance(argnums, int) else argnums
    if not isinstance(listed, list | tuple) or not all(
        isinstance(n, int) for n in listed
    ):
        raise GraphError(
            f"{what} of the function {function_name(fun)} takes argnums, an integer or "
            f"several, not {argnums!r}"
        )
    return argnums if isinstance(argnums, int) else tuple(argnums)
