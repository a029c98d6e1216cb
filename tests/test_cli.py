"""What a user sees who types a command: one line for a mistake, a traceback for a bug, the right exit code."""

import errno
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.errors import InstantiationException, MissingConfigException
from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning.utilities.exceptions import MisconfigurationException

import longrange.cli
from longrange import diagnose
from longrange.cli import CONFIG_DIR, compose, main
from longrange.errors import DataError, DivergedError
from longrange.models.spec import TaskSpec

SCRIPTS = sorted((CONFIG_DIR.parent / "scripts").glob("*.py"))
HEAVY = ("torch", "pytorch_lightning", "datasets", "matplotlib", "numba")


@pytest.fixture
def type_command(tmp_path, monkeypatch):
    """Run a task under the train config in an empty folder as if its arguments had been typed; return the exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run(task, *arguments: str, config: str = "train", **options: str) -> int:
        monkeypatch.setattr(sys, "argv", ["scripts/train.py", *arguments])
        try:
            main(config, **options)(task)()
        except SystemExit as stop:
            return stop.code
        return 0

    yield run
    root.handlers[:], root.level = handlers, level
    logging.disable(logging.NOTSET)  # a process that is not the first is quieter


def nothing(cfg: DictConfig) -> None:
    """A task that has nothing to complain about."""


def only_line(capsys) -> str:
    """The single line on stderr."""
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("experiment=listop/s5", "experiment=listop/s5: no such experiment; nearest: listops/s5"),
        ("model=s55", "model=s55: no such model; nearest: s5"),
        ("experiment=null", "experiment=null: choose one of"),
        ("modle=s5", "modle: no such key; nearest: model"),
        ("logger=[csv,tensorbord]", "logger=tensorbord: no such logger; nearest: tensorboard"),
        ("model.n_layer=4", "model.n_layer: no such key; nearest: model.n_layers"),
        ("n_layers=4", "n_layers: no such key; nearest: model.n_layers"),
        ("model.layers.d_state=4", "model.layers.d_state: no such key; nearest: model.layer.d_state"),
        ("~modl", "modl: no such key; nearest: model"),
        ("+model.n_layers=4", "+model.n_layers: this key exists already"),
        ("model..n_layers=4", "'model..n_layers=4': cannot be read as key=value"),
        ("model.n_layers=[4", "'model.n_layers=[4': cannot be read as key=value"),
        ("quickstart", "did you mean experiment=quickstart?"),
        ("model.n_layers=4,6", "-m runs a job for each"),
        ("seed=???", "seed=???: needs a value"),
        ("model.n_layers=???", "model.n_layers has no value: add model.n_layers=..."),
        ("seed=${sede}", "seed=${sede}: "),
        ("model.n_layers=${sede}", "Interpolation key 'sede' not found"),
        ("hydra.run.dri=x", "hydra.run.dri: no such key; nearest: hydra.run.dir"),
        ("hydra.job.num=many", "'many' of type 'str' could not be converted to Integer"),
        ("resume=last", "this command has not run yet"),
    ],
)
def test_a_mistyped_command_gets_one_line(type_command, capsys, argument, told):
    assert type_command(nothing, argument) == 2
    line = only_line(capsys)
    assert line.startswith("error: ")
    assert told in line


def test_a_key_added_by_force_is_not_blamed_for_another(type_command, capsys):
    assert type_command(nothing, "++model.answer=42", "modle=s5") == 2
    assert only_line(capsys).startswith("error: modle: no such key; nearest: model")


def test_a_correct_command_gets_a_resolved_config(type_command, tmp_path):
    seen = []
    assert type_command(seen.append, "experiment=quickstart", "seed=3") == 0
    (cfg,) = seen
    names = {"experiment": "quickstart", "task": "listops_short", "model": "s5"}
    assert cfg.name == names | {"overrides": ["experiment=quickstart", "seed=3"]}
    assert Path(cfg.paths.run_dir).parent == tmp_path / "outputs" / "listops_short" / "s5"
    assert cfg.paths.run_dir.endswith("-s3")


def test_a_mandatory_value_is_asked_for(type_command, capsys):
    assert type_command(nothing, "+model.answer=???") == 2
    assert "model.answer" in only_line(capsys)


def test_an_unwritable_output_folder_gets_one_line(type_command, capsys, tmp_path):
    (tmp_path / "file").touch()
    assert type_command(nothing, "paths.outputs=file") == 2
    assert "cannot write to" in (line := only_line(capsys))
    assert "paths.outputs=..." in line


def test_an_unwritable_log_gets_one_line(type_command, capsys, tmp_path):
    (tmp_path / "run" / "test_cli.log").mkdir(parents=True)
    assert type_command(nothing, "hydra.run.dir=run") == 2
    assert "cannot write to" in (line := only_line(capsys))
    assert "test_cli.log" in line


def test_a_full_disk_during_the_run_gets_one_line(type_command, capsys):
    def task(cfg):
        raise OSError(errno.ENOSPC, "No space left on device", "last.ckpt")

    assert type_command(task) == 2
    assert only_line(capsys) == "error: cannot write to last.ckpt: No space left on device"


def test_a_file_in_the_place_of_a_folder_gets_one_line(type_command, capsys, tmp_path):
    (tmp_path / "results").touch()

    def task(cfg):
        (tmp_path / "results").mkdir(exist_ok=True)

    assert type_command(task) == 2
    assert only_line(capsys) == f"error: cannot write to {tmp_path}/results: a file is there, not a folder"


def refuse() -> None:
    """A target that finds the data wanting."""
    raise DataError("basic_train.tsv, row 2: one column\nof two")


def test_a_users_mistake_gets_one_line(type_command, capsys):
    assert type_command(lambda cfg: refuse()) == 2
    assert only_line(capsys) == "error: basic_train.tsv, row 2: one column of two"


@pytest.mark.parametrize("words", [[], ["resume=auto"], ["paths.outputs=a/b"]])
def test_a_refused_command_leaves_nothing(type_command, tmp_path, words):
    assert type_command(lambda cfg: refuse(), "hydra.job.name=train", *words) == 2
    assert not list(tmp_path.iterdir())


def test_a_refused_search_leaves_nothing_and_one_that_began_stays(type_command, tmp_path):
    assert type_command(lambda cfg: refuse(), config="tune") == 2
    assert not list(tmp_path.iterdir())
    assert type_command(lambda cfg: Path(cfg.paths.run_dir, "study.db").touch(), config="tune") == 0
    assert type_command(lambda cfg: refuse(), config="tune") == 2
    assert len(list(tmp_path.rglob("study.db"))) == 1


def test_refused_jobs_of_a_sweep_leave_no_folders(type_command, tmp_path):
    assert type_command(lambda cfg: refuse(), "-m", "hydra.job.name=train", "seed=0,1") == 2
    assert not list(tmp_path.glob("outputs/*/*/*"))


def test_what_a_refused_command_goes_on_with_stays(type_command, tmp_path):
    assert type_command(nothing, "hydra.job.name=train") == 0
    before = sorted(tmp_path.rglob("*"))
    assert type_command(lambda cfg: refuse(), "hydra.job.name=train", "resume=auto") == 2
    assert [path for path in before if not path.exists()] == []


def test_a_folder_that_the_command_names_stays(type_command, tmp_path):
    assert type_command(lambda cfg: refuse(), "hydra.job.name=train", "hydra.run.dir=mine") == 2
    assert (tmp_path / "mine").exists()


def test_a_users_mistake_inside_an_instantiation_gets_one_line(type_command, capsys):
    with pytest.raises(InstantiationException):
        instantiate({"_target_": f"{__name__}.refuse"})
    assert type_command(lambda cfg: instantiate({"_target_": f"{__name__}.refuse"})) == 2
    assert only_line(capsys) == "error: basic_train.tsv, row 2: one column of two"


@pytest.mark.parametrize("value", ["six", "2.5"])
def test_a_value_of_the_wrong_kind_is_named(type_command, capsys, value):
    assert type_command(lambda cfg: range(cfg.model.n_layers), f"model.n_layers={value}") == 2
    assert only_line(capsys).startswith(f"error: model.n_layers={value}: must be a whole number")


def test_a_value_of_a_key_of_no_object_is_named(type_command, capsys):
    def task(cfg):
        raise TypeError(f"{cfg.expected} is no mapping")

    assert type_command(task, "paths.data=3") == 2
    assert only_line(capsys).startswith("error: paths.data=3: cannot take this kind of value")


@pytest.mark.parametrize("legal", ["save_every_s=60.5", "model.layer.clip_eigs=true", "trainer.devices=auto"])
def test_a_bug_beside_a_legal_value_of_another_kind_keeps_its_traceback(type_command, capsys, legal):
    def buggy(cfg):
        raise ValueError("a bug, not a mistake")

    assert type_command(buggy, legal) == 1
    assert capsys.readouterr().err.endswith("ValueError: a bug, not a mistake\n")


def test_an_unknown_argument_of_an_inner_object_is_named(type_command, capsys):
    task = TaskSpec("toy", "tokens", 3, 2, 5)
    assert type_command(lambda cfg: instantiate(cfg.model, spec=task), "+model.layer.kernle=1") == 2
    line = only_line(capsys)
    assert line.startswith("error: +model.layer.kernle=1: model.layer takes no kernle (")
    assert "S5.__init__() got an unexpected keyword argument 'kernle'" in line


def test_an_argument_that_a_base_class_refuses_is_named(type_command, capsys):
    assert type_command(lambda cfg: instantiate(cfg.data), "++data.verify=false") == 2
    assert only_line(capsys).startswith("error: ++data.verify=false: data takes no verify (")


def test_a_bug_beside_an_added_key_keeps_its_traceback(type_command, capsys):
    def buggy(cfg):
        instantiate(cfg.data, verifi=False)

    assert type_command(buggy, "++data.data_dir=data") == 1
    assert "unexpected keyword argument 'verifi'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argument", "told"),
    [("+optimizer.algorithm.momentun=1", "momentun"), ("optimizer.algorithm._target_=torch.optim.Adamm", "Adamm")],
)
def test_a_target_that_refuses_its_config_is_named(type_command, capsys, argument, told):
    assert type_command(lambda cfg: instantiate(cfg.optimizer.algorithm)([]), argument) == 2
    assert told in only_line(capsys)


def test_a_bug_keeps_its_traceback(type_command, capsys):
    def buggy(cfg):
        raise TypeError("a bug, not a mistake")

    assert type_command(buggy, "model.n_layers=2") == 1
    trace = capsys.readouterr().err
    assert "in buggy" in trace
    assert trace.endswith("TypeError: a bug, not a mistake\n")


def test_a_bug_in_the_answer_to_a_mistake_keeps_its_traceback(type_command, capsys):
    def buggy(cfg):
        try:
            refuse()
        except DataError:
            raise AttributeError("a bug in the answer") from None

    assert type_command(buggy) == 1
    assert capsys.readouterr().err.endswith("AttributeError: a bug in the answer\n")


def test_what_lightning_refuses_gets_one_line(type_command, capsys):
    def misconfigured(cfg):
        raise MisconfigurationException("0.01 * 6 < 1.\nTry another")

    assert type_command(misconfigured) == 2
    assert only_line(capsys) == "error: trainer: 0.01 * 6 < 1. Try another"


def test_a_failing_job_of_a_sweep_does_not_stop_the_others(type_command, capsys):
    finished = []

    def task(cfg):
        if cfg.seed == 1:
            refuse()
        finished.append(cfg.seed)

    assert type_command(task, "-m", "seed=0,1,2") == 2
    assert finished == [0, 2]
    assert "error: job 1 (seed=1): basic_train.tsv, row 2" in capsys.readouterr().err


def test_jobs_of_a_sweep_write_where_single_runs_would(type_command):
    seen = []
    type_command(lambda cfg: seen.append(cfg.paths.run_dir), "-m", "experiment=quickstart", "seed=0,1")
    type_command(lambda cfg: seen.append(cfg.paths.run_dir), "experiment=quickstart", "seed=1", "resume=last")
    assert seen[1] == seen[2] != seen[0]


def test_a_sweep_resumes_the_jobs_that_have_run(type_command):
    seen = []
    type_command(nothing, "seed=1")
    type_command(lambda cfg: seen.append(cfg.seed), "-m", "resume=last", "seed=0,1")
    assert seen == [0, 1]


def test_several_runs_may_be_asked_for_anywhere_in_the_command(type_command):
    seen = []
    type_command(lambda cfg: seen.append(cfg.seed), "experiment=quickstart", "-m", "seed=0,1")
    assert seen == [0, 1]


@pytest.mark.parametrize("flag", ["-m", "--multirun", "hydra.mode=MULTIRUN"])
def test_a_script_of_one_job_refuses_several(type_command, capsys, tmp_path, flag):
    assert type_command(nothing, "seed=0,1", flag, no_sweep="there is one page; leave it out") == 2
    assert only_line(capsys) == "error: -m: there is one page; leave it out"
    assert not list(tmp_path.iterdir())


def test_a_script_of_one_job_does_not_recommend_several(type_command, capsys):
    assert type_command(nothing, "seed=0,1", no_sweep="there is one page; leave it out") == 2
    assert only_line(capsys) == "error: seed=0,1 names several values: give one; seed=[0,1] is a list"


def test_a_key_of_swept_options_alone_is_told_how_to_be_set(type_command, capsys):
    sweep = ["-m", "experiment=image/s5,scifar/s4"]
    assert type_command(nothing, *sweep, "data.verify=false") == 2
    assert "data.verify: unknown before experiment is chosen" in capsys.readouterr().err
    seen = []
    assert not type_command(lambda cfg: seen.append(cfg.data.verify), *sweep, "++data.verify=false")
    assert seen == [False, False]


def plain_interrupt():
    raise KeyboardInterrupt


def lightnings_interrupt():
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        sys.exit(1)


@pytest.mark.parametrize("interrupt", [plain_interrupt, lightnings_interrupt])
@pytest.mark.parametrize("stage", ["", "pretrain"])
def test_an_interrupt_says_how_to_go_on(type_command, capsys, interrupt, stage):
    def task(cfg):
        checkpoint = Path(cfg.paths.run_dir, stage, "checkpoints", "last.ckpt")
        checkpoint.parent.mkdir(parents=True)
        checkpoint.touch()
        interrupt()

    assert type_command(task, "experiment=quickstart", "resume=old.ckpt") == 130
    told = "go on from the last checkpoint with: python scripts/train.py experiment=quickstart resume=auto"
    assert only_line(capsys) == f"interrupted; {told}"


def test_an_interrupt_without_a_checkpoint_says_so(type_command, capsys):
    assert type_command(lambda cfg: plain_interrupt()) == 130
    assert only_line(capsys).startswith("interrupted; there is no checkpoint to go on from")


def test_an_interrupt_before_the_run_says_so(type_command, capsys, monkeypatch):
    monkeypatch.setattr(longrange.cli, "run_folder", lambda *_, **__: plain_interrupt())
    assert type_command(nothing, "seed=1234") == 130  # a command whose folder nobody has asked for
    assert only_line(capsys).startswith("interrupted before the run began")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_help_answers_before_anything_heavy_is_imported(script, tmp_path):
    code = (
        "import runpy, sys\n"
        f"sys.argv = [{str(script)!r}, '--help']\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        f"finally: print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stderr == "[]\n"
    assert f"python scripts/{script.name}" in done.stdout
    assert not list(tmp_path.iterdir())


def test_help_lists_nested_experiments_by_folder(type_command, capsys):
    assert type_command(nothing, "--help") == 0
    shown = capsys.readouterr().out
    assert "listops/{lssl,s4,s4_current,s4d_inv,s4d_legs,s4d_lin,s5}" in shown
    assert " quickstart," in shown
    assert "\n  scheduler " in shown


def test_compose_resolves_without_a_command_line(tmp_path):
    cfg = compose("train", ["experiment=listops/s5"], run_dir=tmp_path)
    assert cfg.paths.run_dir == str(tmp_path)
    assert cfg.name.experiment == "listops/s5"
    assert "hydra" not in cfg


def test_another_process_of_a_training_leaves_nothing_in_the_outputs(type_command, monkeypatch, tmp_path):
    """It cannot know whether the first one has made the run's folder already."""
    monkeypatch.setenv("RANK", "1")
    seen = []
    type_command(lambda cfg: seen.append(Path(cfg.paths.run_dir)), "seed=7")
    assert seen[0].is_dir()
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("resume", ["auto", "last"])
def test_all_processes_go_on_with_the_same_run(type_command, monkeypatch, resume):
    seen = []
    type_command(lambda cfg: seen.append(cfg.paths.run_dir), "seed=8")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        type_command(lambda cfg: seen.append(cfg.paths.run_dir), "seed=8", f"resume={resume}")
    assert len(set(seen)) == 1


def test_another_process_says_which_it_is(type_command, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert type_command(lambda cfg: refuse()) == 2
    assert only_line(capsys).startswith("error: process 1: basic_train.tsv")


@pytest.mark.parametrize(("error", "ran"), [(DataError("gone"), [0]), (DivergedError("nan"), [0, 1])])
def test_a_sweep_of_several_processes_goes_on_only_if_all_know_that_a_job_has_ended(
    type_command, monkeypatch, error, ran
):
    monkeypatch.setenv("WORLD_SIZE", "2")
    begun = []

    def task(cfg):
        begun.append(cfg.seed)
        raise error

    assert type_command(task, "-m", "seed=0,1") == 2
    assert begun == ran


def test_a_launcher_that_refuses_to_begin_gets_one_line(tmp_path):
    pytest.importorskip("submitit")
    command = [sys.executable, SCRIPTS[0].with_name("train.py"), "-m", "experiment=quickstart", "launcher=slurm"]
    done = subprocess.run([*command, "seed=0,1", f"paths.outputs={tmp_path}"], capture_output=True, text=True, env={})
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith('error: launcher: submitit says Could not detect "srun"')
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("plugin", "launcher"), [("joblib", "joblib"), ("submitit_slurm", "slurm"), ("ray", "ray")])
def test_a_launcher_that_is_not_installed_gets_one_line(plugin, launcher):
    error = MissingConfigException("Could not find it", missing_cfg_file=f"hydra/launcher/{plugin}")
    told = diagnose.composition_error(error, CONFIG_DIR, "train", ["-m", f"launcher={launcher}"])
    assert told == f"launcher={launcher}: not installed; pip install 'longrange[{launcher}]'"


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 72 bytes."), "72 bytes"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has"), "2.50 GiB"),
        (MemoryError("Unable to allocate 3.2 TiB for an array"), "3.2 TiB"),
    ],
)
def test_too_little_memory_gets_one_line(type_command, capsys, error, asked):
    def task(cfg):
        raise error

    assert type_command(task) == 2
    told = f"error: not enough memory ({asked} asked for at once): take a smaller data.batch_size or model, or accumu"
    assert only_line(capsys).startswith(told)


def test_the_loss_of_another_process_gets_one_line(type_command, capsys):
    def task(cfg):
        raise RuntimeError("[pair.cc:553] Connection closed by peer [127.0.0.1]:6037")

    assert type_command(task) == 2
    assert only_line(capsys) == "error: another process of this training has ended, and says why itself"
