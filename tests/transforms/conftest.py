import jax
import pytest


@pytest.fixture(autouse=True)
def _double_precision():
    """JAX computes in float64 here, as it does by default nowhere."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)
