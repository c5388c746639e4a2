import pytest
from hypothesis import given
from hypothesis import strategies as st

from everlong.data.windows import Window, windows
from everlong.errors import ConfigError


def test_the_example_of_the_docstring() -> None:
    assert windows(10, width=5, overlap=2) == [Window(0, 5, 0, 4), Window(3, 8, 4, 7), Window(5, 10, 7, 10)]


@pytest.mark.parametrize("width", [0, 7, 8])
def test_what_fits_is_one_window(width: int) -> None:
    assert windows(7, width=width, overlap=0) == [Window(0, 7, 0, 7)]


@given(n=st.integers(0, 60), width=st.integers(1, 12), data=st.data())
def test_every_token_is_answered_once_and_by_the_window_with_most_around_it(
    n: int, width: int, data: st.DataObject
) -> None:
    found = windows(n, width=width, overlap=data.draw(st.integers(0, width - 1)))
    answered = [token for window in found for token in range(window.first, window.last)]
    assert answered == list(range(n))
    assert all(window.end - window.begin == min(width, n) for window in found)
    for window in found:
        for token in range(window.first, window.last):
            around = [
                min(token - other.begin if other.begin else n, other.end - 1 - token if other.end < n else n)
                for other in found
                if other.begin <= token < other.end
            ]
            mine = min(token - window.begin if window.begin else n, window.end - 1 - token if window.end < n else n)
            assert mine == max(around)


@pytest.mark.parametrize(("width", "overlap"), [(5, 5), (5, -1), (0, 1)])
def test_windows_that_cannot_be_are_refused(width: int, overlap: int) -> None:
    with pytest.raises(ConfigError, match=rf"windows of width={width} cannot overlap by {overlap} tokens"):
        windows(9, width=width, overlap=overlap)
