"""Drawn images as files in the archive's layout, and the comparison of two sets."""

import sys

import numpy as np
import pytest
from paths import GOLDEN
from PIL import Image

from longrange.data.generate import likeness, pathfinder_release
from longrange.data.generate.pathfinder import Recipe, draw
from longrange.data.generate.pathfinder_release import write_release

RECIPE = Recipe(32, "hard", 25)


@pytest.fixture
def level(tmp_path, monkeypatch):
    monkeypatch.setattr(pathfinder_release, "BATCH", 10)
    return write_release(tmp_path, RECIPE, seed=3)


def test_files_are_the_images(level, tmp_path):
    assert level == tmp_path / "pathfinder32/curv_contour_length_14"
    assert {path.name for path in tmp_path.iterdir()} == {"pathfinder32"}
    drawn = draw(RECIPE, 3, 0, 25)
    for i in (0, 9, 10, 24):
        with Image.open(level / f"imgs/{i // 10}/sample_{i % 10}.png") as image:
            assert image.mode == "L"
            np.testing.assert_array_equal(np.asarray(image), drawn.pixels[i])
    assert sum(1 for _ in level.glob("imgs/*/*.png")) == 25


def test_metadata_are_the_archives_columns(level):
    drawn = draw(RECIPE, 3, 0, 25)
    rows = [row for k in range(3) for row in (level / f"metadata/{k}.npy").read_text().splitlines()]
    assert len(rows) == 25
    assert rows[12] == f"imgs/1 sample_2.png 2 {drawn.labels[12]} 1.0 14 4 2 0.5 1 1"


def test_interruption_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(pathfinder_release, "_row", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_release(tmp_path, RECIPE, seed=3)
    assert not list(tmp_path.rglob("*.png"))


def test_command_writes_what_it_is_told(tmp_path, monkeypatch):
    chosen = ["--resolution", "64", "--level", "easy", "--images", "10", "--seed", "1"]
    monkeypatch.setattr(sys, "argv", ["pathfinder_release", str(tmp_path), *chosen])
    pathfinder_release.main()
    row = (tmp_path / "pathfinder64/curv_baseline/metadata/0.npy").read_text().splitlines()[9].split()
    assert row[:2] + row[4:] == ["imgs/0", "sample_9.png", "1.8", "6", "2", "5", "1.0", "1", "1"]


def test_likeness_of_two_sets_is_shown(tmp_path, monkeypatch, capsys):
    sets = [tmp_path / "one.npy", tmp_path / "other.npy"]
    for seed, path in enumerate(sets):
        np.save(path, draw(RECIPE, seed, 0, 20).pixels.reshape(20, -1))
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(sys, "argv", ["likeness", *map(str, sets), "--sheet", str(tmp_path / "sheet.png")])
    likeness.main()
    assert "lit pixels, %" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["likeness", str(GOLDEN / "pathfinder_statistics.json"), str(sets[0])])
    likeness.main()
    (counts,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│ images ")]
    assert [cell.strip() for cell in counts.split("│")[1:-1]] == ["images", "800", "20"]
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (2 * 4 * (4 * 32 + 4) + 16, 4 * (4 * 32 + 4))
