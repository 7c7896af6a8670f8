"""Derivatives in closed form: worked steps, matrix calculus, functions.

Run it: python examples/closed_forms.py
"""

import numpy as np

import symgrad as sg


def main() -> dict[str, float]:
    """Print derivations; return the largest error of each against differences."""
    data = {"X": ("n", "d"), "w": ("d",), "y": ("n",)}
    derivations = {
        "chain rule": sg.derive("exp(sin(x**2 + 1))", "x"),
        "product rule": sg.derive("x**2*exp(-x)", "x", order=2),
        "sigmoid": sg.derive("1/(1 + exp(-x))", "x"),
        "least squares": sg.derive("sum((X@w - y)**2)", "w", dims=data),
        "its Hessian": sg.derive("sum((X@w - y)**2)", "w", order=2, dims=data),
        "softmax": sg.derive("softmax(x)", "x", dims={"x": ("n",)}),
    }
    errors = {}
    for name, derivation in derivations.items():
        report = derivation.check()
        print(f"{name}\n{derivation}\n{report}\n")
        errors[name] = report.error
    slope = derivations["sigmoid"].compile()
    print("slope of the sigmoid at -800, 0, 800:", slope(np.array([-800.0, 0, 800])))
    return errors


if __name__ == "__main__":
    main()
