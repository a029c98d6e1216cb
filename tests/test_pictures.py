"""A picture is written whole, in the same bytes each time, and leaves the settings of others alone."""

import matplotlib
import pytest

from longrange.pictures import picture


def test_the_same_drawing_gives_the_same_file(tmp_path):
    for name in ("new/a.png", "b.png"):
        with picture(tmp_path / name, 3, 2) as figure:
            figure.subplots().plot([1, 2], label="a line")
    content = (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "new/a.png").read_bytes() == content
    assert content.startswith(b"\x89PNG")
    assert matplotlib.image.imread(tmp_path / "b.png").shape == (300, 450, 4)


def test_a_drawing_that_fails_leaves_the_old_file_and_matplotlib_as_it_was(tmp_path):
    before = dict(matplotlib.rcParams)
    (tmp_path / "a.png").write_bytes(b"old")
    with pytest.raises(ValueError, match="no data"), picture(tmp_path / "a.png", 3, 2):
        raise ValueError("no data")
    assert (tmp_path / "a.png").read_bytes() == b"old"
    assert dict(matplotlib.rcParams) == before
