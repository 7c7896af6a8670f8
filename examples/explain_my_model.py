"""An animated page about your own model: its gradients, scene by scene.

Run ``python examples/explain_my_model.py`` and open ``explain_my_model.html``.
"""

import numpy as np

import symgrad as sg
from symgrad.data import digits


def loss() -> tuple[sg.Tensor, dict[str, np.ndarray]]:
    """Return the loss of a residual network on digits, and a batch."""
    x, y = sg.input("x", ("n", 64)), sg.input("y", ("n",), "int64")

    @sg.nn.residual
    def block(h, name):
        return sg.nn.mlp(h, [24, 24], activation="relu", name=name)

    h = sg.tanh(sg.nn.linear(x, 24, name="stem"))
    for n in range(1, 4):
        h = block(h, f"block{n}")
    images, labels = digits()
    data = {"x": images[:96], "y": labels[:96]}
    return sg.nn.cross_entropy(sg.nn.linear(h, 10, name="head"), y), data


def main(path="explain_my_model.html"):
    made = sg.explain(*loss(), name="the digits network")
    print(made.storyboard)
    print(f"\n{made.seconds:.0f} seconds in {made.save(path)}")
    return made


if __name__ == "__main__":
    main()
