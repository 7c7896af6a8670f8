import signal
import threading

import pytest

if threading.current_thread() is threading.main_thread():
    # a background job of a shell ignores it, and so would what the tests interrupt
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _cache_directory(tmp_path_factory):
    """Compile into a directory of the session's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYMGRAD_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_addoption(parser):
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the golden files of tests/test_golden.py anew",
    )
