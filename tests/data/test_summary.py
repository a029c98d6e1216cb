"""The table of a prepared task."""

from longrange.data.listops import ListOps
from longrange.data.summary import print_splits


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
