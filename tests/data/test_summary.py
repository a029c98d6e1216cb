"""The table of a prepared task."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from longrange.data.listops import ListOps
from longrange.data.summary import print_splits
from longrange.models.spec import TaskSpec


def test_table_states_the_splits(made, tmp_path, recipe, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    task = ListOps(data_dir=made, cache_dir=tmp_path / "cache", recipe=recipe, batch_size=16)
    task.prepare_data()
    capsys.readouterr()
    print_splits(task, seconds=1.25)
    printed = capsys.readouterr().out
    val = task.split("val")
    zeros = f"{100 * (val.targets == 0).mean():.1f}"
    row = next(line for line in printed.splitlines() if "val" in line)
    assert "listops, prepared in 1.2 s" in printed
    assert [cell.strip() for cell in row.split("│")[2:5]] == ["40", f"{val.lengths.mean():.1f}", str(val.lengths.max())]
    assert row.split("│")[5].split()[0] == zeros
    assert f"encoded in {val.path.parent}" in printed


class Measured(SimpleNamespace):
    """A split of numbers to be predicted, all sequences equally long."""

    def __len__(self) -> int:
        return len(self.targets)


def test_table_states_targets_that_are_no_classes(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    split = Measured(targets=np.array([[1.0, 10.0], [3.0, 10.0]], np.float32), path=Path("my [own]/train"))
    spec = TaskSpec("heart [of mine]", "continuous", 2, 2, 4000, loss="mse")
    print_splits(SimpleNamespace(spec=spec, split=lambda name: split), seconds=1.0)
    printed = capsys.readouterr().out
    row = next(line for line in printed.splitlines() if "val" in line)
    assert "heart [of mine], prepared in 1.0 s" in printed
    assert "encoded in my [own]\n" in printed
    assert [cell.strip() for cell in row.split("│")[2:6]] == ["2", "4000.0", "4000", "2.00 ± 1.00, 10.00 ± 0.00"]
