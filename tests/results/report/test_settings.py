"""Hyperparameters: flat, without what is none, compared."""

from longrange.results.report.settings import differences, settings


def test_names_are_dotted_and_places_are_left_out():
    config = {
        "seed": 1,
        "save_every_s": 600,
        "name": {"task": "listops"},
        "paths": {"data": "/x"},
        "logger": None,
        "data": {"_target_": "longrange.data.listops.ListOps", "data_dir": "/x", "batch_size": 4, "sizes": [1, 2]},
        "model": {"layer": {"_target_": "longrange.layers.S5", "_partial_": True, "d_state": 8}, "block": {}},
    }
    assert settings(config) == {
        "seed": "1",
        "data": "ListOps",
        "data.batch_size": "4",
        "data.sizes": "[1, 2]",
        "model.layer": "S5",
        "model.layer.d_state": "8",
        "model.block": "{}",
    }


def test_only_what_differs_is_listed_and_what_agrees_stands_together():
    runs = [
        {"optimizer.rules.global.lr": "0.1", "optimizer.lr": "0.1", "depth": "4", "width": "8"},
        {"optimizer.rules.global.lr": "0.2", "optimizer.lr": "0.2", "depth": "4"},
    ]
    assert differences(runs) == [("optimizer.lr", "optimizer.rules.global.lr"), ("width",)]
    assert differences(runs[:1]) == []
    assert differences([]) == []
