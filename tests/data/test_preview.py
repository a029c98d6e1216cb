"""The picture of a few examples."""

import numpy as np
import pytest
from matplotlib.image import imread

from longrange.data.listops import ListOps
from longrange.data.preview import draw
from longrange.errors import DataError

GREY = np.full((8, 8), 128, np.uint8)
EXAMPLES = {
    "image": [("image", GREY, "grey $x_1$"), ("image", np.zeros((8, 8, 3), np.uint8), "black")] * 3,
    "wide image": [("image", np.tile(GREY, 20), "")] * 3,
    "text": [("text", "one\n\ntwo", "two parts"), ("text", "one $5 \x00 \u65e5 " * 500, "long"), ("text", "", "empty")],
    "wave": [("wave", (np.sin(np.arange(100)), 50), "mono"), ("wave", (np.zeros((100, 2)), 50), "two channels")],
}


@pytest.mark.parametrize("kind", list(EXAMPLES))
@pytest.mark.filterwarnings("error", "ignore::ResourceWarning")  # what earlier tests leave to be collected
def test_every_kind_is_drawn(tmp_path, kind):
    draw("title $ 1", EXAMPLES[kind], tmp_path / "new/picture.png")
    picture = imread(tmp_path / "new/picture.png")
    assert picture.shape[1] == 1800
    assert picture[..., :3].min() < 0.5


def test_gray_levels_are_absolute(tmp_path):
    draw("", [("image", GREY, "")], tmp_path / "picture.png")
    assert (np.abs(imread(tmp_path / "picture.png")[..., 0] - 128 / 255) < 0.01).mean() > 0.05


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        draw("", EXAMPLES["text"], tmp_path / "file/picture.png")


def test_listops_shows_its_expressions(made, tmp_path, recipe):
    task = ListOps(data_dir=made, cache_dir=tmp_path / "cache", recipe=recipe, batch_size=4)
    task.prepare_data()
    shown = task.preview("val", [3, 0])
    rows = [line.split("\t") for line in (made / "basic_val.tsv").read_text().splitlines()[1:]]
    for (kind, text, label), (expression, value) in zip(shown, [rows[3], rows[0]], strict=True):
        tokens = [token for token in expression.split() if token not in "()"]
        assert (kind, text.split()) == ("text", [*tokens, "<eos>"])
        assert label == f"value {value}, {len(tokens) + 1} steps"
