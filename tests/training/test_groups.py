"""Every parameter in exactly one group, and in the right one."""

import re
from collections import Counter

import pytest
import torch
from hydra.utils import instantiate
from rich.console import Console

from longrange.cli import compose
from longrange.errors import ConfigError
from longrange.models.spec import TaskSpec
from longrange.training.groups import Rule, groups_table, parameter_groups, rules_from

SPEC = TaskSpec("toy", "tokens", input_size=3, output_size=2, max_length=8)
S5_PARAMETERS = {"Lambda_re", "Lambda_im", "log_step", "B", "C", "D"}
LR, SSM_LR, DT_LR, DECAY = 0.5, 0.25, 0.375, 0.125

# Parameters of the S5 layer by (learning rate, weight decay); the published groups.
OPTION_SETS = {
    "s5_standard": {
        (SSM_LR, 0.0): {"Lambda_re", "Lambda_im", "log_step", "B"},
        (LR, DECAY): {"C", "D"},
    },
    "s5_standard_dt_global": {
        (SSM_LR, 0.0): {"Lambda_re", "Lambda_im", "B"},
        (LR, DECAY): {"log_step", "C", "D"},
    },
    "s5_BandCdecay": {
        (SSM_LR, 0.0): {"Lambda_re", "Lambda_im", "log_step"},
        (SSM_LR, DECAY): {"B"},
        (LR, DECAY): {"C", "D"},
    },
    "s5_BfastandCdecay": {
        (SSM_LR, 0.0): {"Lambda_re", "Lambda_im", "log_step"},
        (LR, DECAY): {"B", "C", "D"},
    },
    "s5_noBCdecay": {(SSM_LR, 0.0): S5_PARAMETERS},
}
OTHERS = {
    ("s4", "s4"): {
        (DT_LR, 0.0): {"inv_dt"},
        (SSM_LR, 0.0): {"A_real", "A_imag", "B", "P"},
        (LR, DECAY): {"C", "D"},
    },
    ("s4", "s4_slow_C"): {
        (DT_LR, 0.0): {"inv_dt"},
        (SSM_LR, 0.0): {"A_real", "A_imag", "B", "P"},
        (SSM_LR, DECAY): {"C"},
        (LR, DECAY): {"D"},
    },
    ("s4d", "s4"): {
        (DT_LR, 0.0): {"inv_dt"},
        (SSM_LR, 0.0): {"A_real", "A_imag", "B"},
        (LR, DECAY): {"C", "D"},
    },
    ("lssl", "lssl"): {
        (SSM_LR, 0.0): {"B", "structure"},
        (DT_LR, 0.0): {"log_dt"},
        (LR, 0.0): {"C", "D"},
    },
}


@pytest.fixture(params=OPTION_SETS)
def option_set(request):
    """Name of the option set, its config with recognisable rates, and an S5 model."""
    rates = [f"optimizer.lr={LR}", f"optimizer.ssm_lr={SSM_LR}", f"optimizer.weight_decay={DECAY}"]
    small = ["model.d_model=4", "model.n_layers=2", "model.layer.d_state=4", "model.layer.n_blocks=1"]
    cfg = compose("train", [f"optimizer={request.param}", *rates, *small])
    return request.param, cfg.optimizer, instantiate(cfg.model, spec=SPEC, _convert_="object")


def test_option_set_covers_every_parameter_once(option_set):
    _, optimizer, model = option_set
    groups = parameter_groups(model.named_parameters(), rules_from(optimizer.rules))
    taken = Counter(name for group in groups for name, _ in group["params"])
    assert taken == Counter(name for name, _ in model.named_parameters())


def rates_in_layers(optimizer, model):
    """(learning rate, weight decay) -> names of the layers' parameters that train so."""
    rates = {}
    for group in parameter_groups(model.named_parameters(), rules_from(optimizer.rules)):
        for name, _ in group["params"]:
            if ".layer." in name:
                parameter = name.partition(".layer.")[2].partition(".")[0]
                rates.setdefault((group["lr"], group["weight_decay"]), set()).add(parameter)
    return rates


def test_option_set_sorts_as_published(option_set):
    name, optimizer, model = option_set
    assert rates_in_layers(optimizer, model) == OPTION_SETS[name]


@pytest.mark.parametrize(("model", "optimizer"), OTHERS)
def test_other_models_sort_as_published(model, optimizer):
    rates = [f"optimizer.lr={LR}", f"optimizer.ssm_lr={SSM_LR}", f"optimizer.dt_lr={DT_LR}"]
    rates += [f"optimizer.weight_decay={DECAY}"] if optimizer.startswith("s4") else []
    small = ["model.d_model=4", "model.n_layers=2", "model.layer.d_state=4"]
    cfg = compose("train", [f"model={model}", f"optimizer={optimizer}", *rates, *small])
    built = instantiate(cfg.model, spec=SPEC, _convert_="object")
    assert rates_in_layers(cfg.optimizer, built) == OTHERS[model, optimizer]


def decay_of_small_parameters(optimizer, model):
    """Weight decay of norms and biases, and of the head's weight."""
    groups = parameter_groups(model.named_parameters(), rules_from(optimizer.rules))
    decay = {parameter: group["weight_decay"] for group in groups for parameter, _ in group["params"]}
    small = [parameter for parameter in decay if "norm." in parameter or parameter.endswith("bias")]
    assert len(small) >= 8  # two norms, two gates or output maps, head, encoder or final norm
    return {decay[parameter] for parameter in small}, decay["head.weight"]


def test_s5_sets_decay_norms_and_biases(option_set):
    _, optimizer, model = option_set
    assert decay_of_small_parameters(optimizer, model) == ({DECAY}, DECAY)


def test_s4_decays_neither_norms_nor_biases():
    small = ["model.d_model=4", "model.n_layers=2", "model.layer.d_state=4", f"optimizer.weight_decay={DECAY}"]
    cfg = compose("train", ["model=s4", "optimizer=s4", *small])
    model = instantiate(cfg.model, spec=SPEC, _convert_="object")
    assert decay_of_small_parameters(cfg.optimizer, model) == ({0.0}, DECAY)


def test_optimizer_of_the_configs_takes_the_groups(option_set):
    _, optimizer, model = option_set
    groups = parameter_groups(model.named_parameters(), rules_from(optimizer.rules))
    built = instantiate(optimizer.algorithm)(groups)
    assert [(group["lr"], group["weight_decay"]) for group in built.param_groups] == [
        (group["lr"], group["weight_decay"]) for group in groups
    ]


def named(*names):
    return [(name, torch.nn.Parameter(torch.zeros(2, 3))) for name in names]


def test_first_match_wins():
    rules = [Rule("a", ["*.B"], 1.0, 0.0), Rule("b", ["x.*"], 2.0, 0.0)]
    first, second = parameter_groups(named("x.B", "x.C"), rules)
    assert [name for name, _ in first["params"]] == ["x.B"]
    assert [name for name, _ in second["params"]] == ["x.C"]


def test_patterns_tell_upper_from_lower_case():
    assert not Rule("ssm", ["*.B"], 1.0, 0.0).matches("block.b")


def test_frozen_parameters_are_left_out():
    frozen, free = named("x", "y")
    frozen[1].requires_grad_(False)
    (group,) = parameter_groups([frozen, free], [Rule("all", ["*"], 1.0, 0.0)])
    assert [name for name, _ in group["params"]] == ["y"]


def test_uncovered_parameter_is_named():
    with pytest.raises(ConfigError, match=r"no optimizer rule covers parameter head\.weight"):
        parameter_groups(named("x.B", "head.weight"), [Rule("ssm", ["*.B"], 1.0, 0.0)])


def test_empty_rule_is_named():
    rules = [Rule("ssm", ["*.Lambda_re"], 1.0, 0.0), Rule("global", ["*"], 1.0, 0.0)]
    with pytest.raises(ConfigError, match=r"rule 'ssm' takes no parameter.*\*\.Lambda_re"):
        parameter_groups(named("head.weight"), rules)


@pytest.mark.parametrize("key", ["lr", "weight_decay"])
def test_negative_values_are_refused(key):
    values = {"lr": 1.0, "weight_decay": 0.0, key: -0.1}
    with pytest.raises(ConfigError, match=rf"optimizer\.rules\.ssm\.{key}=-0\.1"):
        Rule("ssm", ["*"], **values)


def test_table_counts_tensors_and_parameters():
    console = Console(width=200, record=True)
    parameters = named("blocks.0.layer.B", "blocks.1.layer.B", "head.bias")
    console.print(groups_table(parameter_groups(parameters, [Rule("all", ["*"], 0.004, 0.07)])))
    rows = [line.split() for line in console.export_text().partition("─\n")[2].splitlines()]
    assert rows == [["all", "0.004", "0.07", "3", "18", "blocks.*.layer.B"], ["head.bias"]]


@pytest.mark.parametrize("model", ["lssl", "s4", "s4d", "s5"])
def test_the_table_of_a_model_breaks_no_name_in_80_characters(model):
    cfg = compose("train", [f"experiment=listops/{'s4d_inv' if model == 's4d' else model}", "model.n_layers=1"])
    groups = parameter_groups(instantiate(cfg.model, spec=SPEC).named_parameters(), rules_from(cfg.optimizer.rules))
    console = Console(width=80, record=True)
    console.print(groups_table(groups))
    printed = console.export_text().split()
    assert {re.sub(r"\.\d+\.", ".*.", group["params"][0][0]) for group in groups} <= {*printed}
    assert not [word for word in printed if word.startswith("_")]


@pytest.mark.parametrize(
    ("model", "optimizer", "told"),
    [
        ("s4", "s5_standard", r"for \*\.layer\.Lambda_re, .* take nothing, and blocks\.\*\.layer\.inv_dt, .* choose"),
        ("s4d", "s5_noBCdecay", "take nothing"),
        ("lssl", "s4", "take"),
    ],
)
def test_rules_for_another_layer_are_refused(model, optimizer, told):
    cfg = compose("train", [f"model={model}", f"optimizer={optimizer}", "model.d_model=4", "model.n_layers=1"])
    built = instantiate(cfg.model, spec=SPEC)
    with pytest.raises(ConfigError, match=told):
        parameter_groups(built.named_parameters(), rules_from(cfg.optimizer.rules))
