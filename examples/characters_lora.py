"""LoRA: the transformer of a novel learns a play; its own weights stay as they are."""

import runpy
import time
from pathlib import Path

import numpy as np

import symgrad as sg

novel = runpy.run_path(str(Path(__file__).parent / "characters.py"))


def low_rank(p):
    """Change queries and values, and the perceptrons; freeze the rest."""
    layer = p.name.split("/")[-2:-1]
    small = layer[:1] and layer[0] in ("query", "value", "expand", "contract")
    return sg.nn.lora(p, 8) if small and p.ndim == 2 else None


def cost(trainer, data):
    """Print what a step costs; return its seconds."""
    batch = {name: array[:32] for name, array in data.items()}
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        trainer.step(**batch)
        seconds.append(time.perf_counter() - start)
    facts = trainer.program.report()
    learned = sum(a.size for n, a in trainer.arrays.items() if n.startswith("adamw/m"))
    print(
        f"{learned:9,} learned  {facts['flops'] / 1e9:6.2f} GFlop  "
        f"{facts['bytes'] / 1e6:6.0f} MB moved  "
        f"{facts['arena_bytes'] / 1e6:6.0f} MB arena  {min(seconds):.3f} s"
    )


def main(epochs=3, stride=32, base_epochs=8, **sizes):
    base, logits = novel["main"](base_epochs, stride, **sizes)
    data = novel["windows"](novel["read"]("as_you_like_it.txt"), stride)
    following = next(t for t in base.program.inputs if t.name == "following")
    tuned = sg.nn.adapt(logits, low_rank)
    runs = {}
    for name, model in {"full": logits, "LoRA": tuned}.items():
        loss = sg.nn.cross_entropy(model, following)
        runs[name] = sg.Trainer(loss, sg.optim.AdamW(1e-3), params=base.params)
        print(f"{name:5}", end="")
        cost(runs[name], data)
    trainer = runs["LoRA"]
    before = trainer.evaluate(data)["loss"]
    trainer.fit(data, epochs)
    after = trainer.evaluate(data)["loss"]
    print(f"loss on the play {before:.3f}, after LoRA {after:.3f}")
    for name, array in base.params.items():
        np.testing.assert_array_equal(array, trainer.params[name])
    print("every weight of the base is bit for bit what it was")
    print(novel["generate"](trainer, tuned, "ROSALIND ", 300))
    return base, trainer


if __name__ == "__main__":
    main()
