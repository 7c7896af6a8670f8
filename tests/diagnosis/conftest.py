"""JAX in float64, as long as these tests run."""

import jax
import pytest


@pytest.fixture(autouse=True, scope="package")
def _float64():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)
