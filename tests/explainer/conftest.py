"""The page about the built-in model, made once for each process."""

import pytest

import symgrad as sg


@pytest.fixture(scope="session")
def page():
    return sg.explain()
