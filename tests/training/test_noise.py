"""Hints to programmers are silenced, warnings to users are not."""

import logging
import warnings

import pytest
from toy_task import toy_config

from longrange.training import train
from longrange.training.noise import quiet


def test_training_warns_of_nothing(tmp_path, recwarn, caplog):
    train(toy_config(tmp_path))
    train(toy_config(tmp_path, "resume=last"))
    assert [str(warning.message) for warning in recwarn if "ightning" in warning.filename] == []
    assert [record.name for record in caplog.records if "ightning" in record.name] == []


def test_other_warnings_pass():
    with pytest.warns(UserWarning, match="loss of precision"), quiet():
        warnings.warn("loss of precision", stacklevel=1)


def test_levels_are_restored():
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    with quiet():
        assert logger.level == logging.WARNING
    assert logger.level == level
