"""Secrets: none reaches a file that a run leaves, and none is taken from a command line."""

import os
import subprocess
import sys

import pytest
from test_cli import nothing, only_line, type_command  # noqa: F401
from toy_task import toy_config

from longrange.cli import CONFIG_DIR, compose
from longrange.errors import ConfigError
from longrange.results.record import write_record
from longrange.secrecy import refuse_secrets
from longrange.training import train
from longrange.training.export import export

ROOT = CONFIG_DIR.parent
CANARY = "c4n4ry0123456789abcdef0123456789abcdef01"  # of the length that wandb's keys have
SECRETS = {name: f"{CANARY}{number}" for number, name in enumerate(("HF_TOKEN", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY"))}
TINY = [
    *("experiment=quickstart", "data.recipe.train=60", "data.recipe.val=20", "data.recipe.test=20", "epochs=1"),
    *("model.d_model=8", "model.n_layers=1", "model.layer.d_state=8", "model.layer.n_blocks=2", "data.batch_size=20"),
]


def run_script(name, folder, *arguments):
    """Everything that a script prints, with secrets in its environment and in the file of netrc."""
    (folder / "netrc").write_text(f"machine api.wandb.ai login user password {CANARY}\n")
    environment = {**os.environ, **SECRETS, "WANDB_API_KEY": CANARY, "NETRC": str(folder / "netrc")}
    command = [sys.executable, str(ROOT / "scripts" / name), *arguments]
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return ran.stdout + ran.stderr


def test_no_secret_reaches_what_a_training_writes(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", CANARY)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    cfg = toy_config(tmp_path, "logger=wandb_offline", "epochs=1")
    outcome = train(cfg)
    write_record(outcome, cfg)
    export(outcome.best_checkpoint, cfg, "", tmp_path / "model.safetensors")
    contents = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert [name for name, content in contents.items() if CANARY.encode() in content] == []
    found = [name for name, content in contents.items() if b"SequenceClassifier" in content]
    assert {"result.json", "best.ckpt", "last.ckpt", "model.safetensors"} < set(found)
    assert any(name.endswith(".wandb") for name in found)


@pytest.mark.slow
def test_no_secret_reaches_a_file_or_the_terminal(tmp_path):
    """That the search sees into files of every kind is shown by a word of the command, which is found in each."""
    said = run_script("train.py", tmp_path, *TINY, "logger=[tensorboard,wandb_offline]", f"paths.data={tmp_path}/data")
    said += run_script("report.py", tmp_path)
    assert CANARY not in said
    (run,) = (path.parent for path in tmp_path.glob("outputs/**/result.json"))
    contents = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "netrc"}
    assert [path for path, content in contents.items() if CANARY.encode() in content] == []
    (sent,) = run.glob("wandb/offline-run-*/run-*.wandb")
    assert b"train: 60" in contents[run / ".hydra/config.yaml"]
    for kept in (".hydra/overrides.yaml", "result.json", "checkpoints/best.ckpt", sent):
        assert b"data.recipe.train=60" in contents[run / kept]
    for kept in ("train.log", "metrics.csv", "model.safetensors"):
        assert run / kept in contents
    assert list(run.glob("tensorboard/events.*"))
    assert b"quickstart" in contents[tmp_path / "outputs" / "report.html"]


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        (f"logger.api_key={CANARY}", "logger.api_key=...: this is a secret"),
        (f"+wandb.api_key={CANARY}", "+wandb.api_key=...: this is a secret"),
        (f"++logger.wandb.apikey={CANARY}", "++logger.wandb.apikey=...: this is a secret"),
        (f"+paths.password={CANARY}", "+paths.password=...: this is a secret"),
        (f"+hf_token={CANARY}", "+hf_token=...: this is a secret"),
        (f"+note={CANARY}", "+note=...: its value holds that of WANDB_API_KEY"),
        ("+note=${oc.env:WANDB_API_KEY}", "+note=...: its value is that of WANDB_API_KEY"),
    ],
)
def test_a_secret_on_the_command_line_is_refused_before_anything_is_written(
    argument,
    told,
    type_command,  # noqa: F811
    tmp_path,
    capsys,
    monkeypatch,
):
    monkeypatch.setenv("WANDB_API_KEY", CANARY)
    assert type_command(nothing, argument) == 2
    line = only_line(capsys)
    assert line.startswith(f"error: {told}")
    assert CANARY not in line
    assert list(tmp_path.iterdir()) == []


def test_a_search_or_notebook_that_composes_a_secret_is_refused():
    with pytest.raises(ConfigError, match=r"\+wandb\.api_key=\.\.\.: this is a secret"):
        compose("train", ["+wandb.api_key=x"])


def test_what_is_no_secret_passes(monkeypatch):
    monkeypatch.setenv("GITHUB_TOKEN", "short")
    refuse_secrets(
        ["model.encoder.tokens=onehot", "+note=short", "paths.data=${oc.env:HOME}", "seed=0,1", "--help", "-m"]
    )
    keys = {key for file in CONFIG_DIR.rglob("*.yaml") for key in _keys(file.read_text())}
    assert len(keys) > 100
    refuse_secrets([f"{key}=1" for key in keys])


def _keys(text):
    return [
        line.split(":")[0].strip(" -") for line in text.splitlines() if ":" in line and "#" not in line.split(":")[0]
    ]
