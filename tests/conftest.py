"""What holds for every test: shapes are checked, one thread, the same chance each time."""

import pytest
import torch
from hypothesis import settings

from tests.shape_checks import check_package

settings.register_profile("everlong", deadline=None, derandomize=True, database=None, max_examples=8)
settings.load_profile("everlong")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--unchecked", action="store_true", help="do not check shape annotations")


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--unchecked"):
        check_package("everlong")


@pytest.fixture(autouse=True)
def _one_thread_and_seed() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
