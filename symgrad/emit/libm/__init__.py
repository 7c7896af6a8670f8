"""Elementary functions that vectorise: LLVM code of our own, for float32 and float64.

Numba from PyPI has no vector mathematics library, and a call of the C library's `exp`
keeps a loop scalar.  Each function here is straight-line code that LLVM turns into
vector instructions in any loop that calls it, within 1.5 units in the last place
(float32) or 2 (float64) of the true value, with the special values of C99 Annex F.
"""

from symgrad.emit.libm.error_function import erf_f32, erf_f64, erfc_f32, erfc_f64
from symgrad.emit.libm.exponential import (
    exp2_f32,
    exp2_f64,
    exp_f32,
    exp_f64,
    expm1_f32,
    expm1_f64,
    sigmoid_f32,
    sigmoid_f64,
)
from symgrad.emit.libm.function import Elementary
from symgrad.emit.libm.hyperbolic import (
    acosh_f32,
    acosh_f64,
    asinh_f32,
    asinh_f64,
    atanh_f32,
    atanh_f64,
    cosh_f32,
    cosh_f64,
    sinh_f32,
    sinh_f64,
    tanh_f32,
    tanh_f64,
)
from symgrad.emit.libm.inverse_trigonometric import (
    acos_f32,
    acos_f64,
    asin_f32,
    asin_f64,
    atan2_f32,
    atan2_f64,
    atan_f32,
    atan_f64,
)
from symgrad.emit.libm.logarithm import (
    log1p_f32,
    log1p_f64,
    log2_f32,
    log2_f64,
    log10_f32,
    log10_f64,
    log_f32,
    log_f64,
    softplus_f32,
    softplus_f64,
)
from symgrad.emit.libm.root import cbrt_f32, cbrt_f64
from symgrad.emit.libm.rounding import (
    ceil_f32,
    ceil_f64,
    copysign_f32,
    copysign_f64,
    floor_f32,
    floor_f64,
    maximum_f32,
    maximum_f64,
    minimum_f32,
    minimum_f64,
    round_f32,
    round_f64,
    sign_f32,
    sign_f64,
    sqrt_f32,
    sqrt_f64,
    trunc_f32,
    trunc_f64,
)
from symgrad.emit.libm.scalar import (
    digamma_f32,
    digamma_f64,
    lgamma_f32,
    lgamma_f64,
    polygamma_f32,
    polygamma_f64,
    pow_f32,
    pow_f64,
    remainder_f32,
    remainder_f64,
    trigamma_f32,
    trigamma_f64,
)
from symgrad.emit.libm.trigonometric import (
    cos_f32,
    cos_f64,
    sin_f32,
    sin_f64,
    tan_f32,
    tan_f64,
)

# Every function without its suffix, and how many arguments it takes.
FUNCTIONS: dict[str, int] = {
    name.removesuffix("_f64"): function.arity
    for name, function in sorted(globals().items())
    if isinstance(function, Elementary) and name.endswith("_f64")
}
