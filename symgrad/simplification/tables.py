"""The scalar rules.

The right side of a rule is nowhere less accurate than the left.  Where the left side
overflows on its way, the right side gives the value (or its limit at infinity) that
the mathematics has; it never turns a finite value into NaN or infinity.
"""

from __future__ import annotations

from symgrad.simplification.patterns import rules

#: Forms that lose digits or overflow -> forms that do not.
STABLE = rules("""
    softplus:           log(1 + exp(x))          -> softplus(x)
    softplus_log1p:     log1p(exp(x))            -> softplus(x)
    log_add_exp:        log(exp(x) + exp(y))     ->
                        maximum(x, y) + softplus(where(x == y, 0, -abs(x - y)))
    log1p:              log(1 + x)               -> log1p(x)
    log1p_minus:        log(1 - x)               -> log1p(-x)
    log_exp:            log(exp(x))              -> x
    log1p_expm1:        log1p(expm1(x))          -> x
    log_sqrt:           log(sqrt(x))             -> 0.5*log(x)
    log_product:        log(x*x)                 -> 2*log(abs(x))
    expm1:              exp(x) - 1               -> expm1(x)
    expm1_minus:        1 - exp(x)               -> -expm1(x)
    sigmoid:            1/(1 + exp(-x))          -> sigmoid(x)
    sigmoid_minus:      1/(1 + exp(x))           -> sigmoid(-x)
    sigmoid_reciprocal: reciprocal(1 + exp(-x))  -> sigmoid(x)
    sigmoid_quotient:   exp(x)/(1 + exp(x))      -> sigmoid(x)
    sigmoid_other:      1 - sigmoid(x)           -> sigmoid(-x)
    log_sigmoid:        log(sigmoid(x))          -> -softplus(-x)
    log1p_sigmoid:      log1p(-sigmoid(x))       -> -softplus(x)
    tanh:               (exp(x) - exp(-x))/(exp(x) + exp(-x)) -> tanh(x)
    tanh_expm1:         expm1(2*x)/(1 + exp(2*x)) -> tanh(x)
    tanh_sigmoid:       2*sigmoid(2*x) - 1       -> tanh(x)
    tanh_quotient:      sinh(x)/cosh(x)          -> tanh(x)
    sinh:               (exp(x) - exp(-x))/2     -> sinh(x)
    sinh_half:          0.5*(exp(x) - exp(-x))   -> sinh(x)
    cosh:               (exp(x) + exp(-x))/2     -> cosh(x)
    cosh_half:          0.5*(exp(x) + exp(-x))   -> cosh(x)
    one_minus_cos:      1 - cos(x)               -> 2*square(sin(0.5*x))
    cos_minus_one:      cos(x) - 1               -> -2*square(sin(0.5*x))
    sqrt_product:       sqrt(x*x)                -> abs(x)
    sqrt_fourth:        sqrt(x**4)               -> x*x
    one_minus_erf:      1 - erf(x)               -> erfc(x)
    one_minus_erfc:     1 - erfc(x)              -> erf(x)
    difference_squares: x*x - y*y                -> (x - y)*(x + y)
""")

#: Identities that hold for every value, NaN and infinity included.
ALGEBRA = rules("""
    stop_gradient:   stop_gradient(x)            -> x
    mul_one:         x*1                         -> x
    mul_minus_one:   x*-1                        -> -x
    div_one:         x/1                         -> x
    div_minus_one:   x/-1                        -> -x
    add_zero:        x + 0                       -> x
    sub_zero:        x - 0                       -> x
    pow_one:         x**1                        -> x
    pow_two:         x**2                        -> x*x
    pow_minus_one:   x**-1                       -> 1/x
    square:          square(x)                   -> x*x
    neg_neg:         -(-x)                       -> x
    add_neg:         x + -y                      -> x - y
    sub_neg:         x - -y                      -> x + y
    neg_times_neg:   -x*-y                       -> x*y
    neg_times:       -x*y                        -> -(x*y)
    neg_over_neg:    -x/-y                       -> x/y
    neg_over:        -x/y                        -> -(x/y)
    over_neg:        x/-y                        -> -(x/y)
    abs_abs:         abs(abs(x))                 -> abs(x)
    abs_neg:         abs(-x)                     -> abs(x)
    cos_neg:         cos(-x)                     -> cos(x)
    cosh_neg:        cosh(-x)                    -> cosh(x)
    relu_relu:       relu(relu(x))               -> relu(x)
    max_same:        maximum(x, x)               -> x
    min_same:        minimum(x, x)               -> x
    not_not:         ~~x                         -> x
    and_same:        x & x                       -> x
    or_same:         x | x                       -> x
    select_not:      where(~c, x, y)             -> where(c, y, x)
    select_taken:    where(c, where(c, x, y), z) -> where(c, x, z)
    select_other:    where(c, x, where(c, y, z)) -> where(c, x, z)
""")

#: Forms that do not overflow, of which the derivative would be a longer formula.
LAST = rules("""
    log_cosh: log(cosh(x)) -> abs(x) + softplus(-2*abs(x)) - 0.6931471805599453
""")
