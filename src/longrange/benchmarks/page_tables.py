"""What was measured, as tables in Markdown: each is made of one file or folder of results/."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from longrange.benchmarks.scaling import growth_exponents
from longrange.csv_files import read_csv
from longrange.provenance import device_name, setting_name

NOTHING = "Not measured."
_WHEN = ["commit", "day"]
_PARTS = 8  # of a step: as many as are shown, the largest gaps

Rows = list[dict[str, Any]]


def made_tables(results: Path) -> dict[str, str]:
    """Every table by its name; `NOTHING` where there is no measurement."""
    profiles, trainings = (
        [json.loads(path.read_text()) for path in sorted((results / folder).glob("*.json"))]
        for folder in ("profile", "precision")
    )
    peers = _read(results / "peers" / "rows.csv")
    return {
        "trainings": _trainings(_read(results / "proof_runs.csv")),
        "ratios": _ratios(peers),
        "peers": _peers(peers),
        "steps": _steps(profiles),
        "parts": "\n\n".join(_parts(each) for each in profiles) or NOTHING,
        "narrower": _narrower(profiles),
        "precision": _precision(trainings),
        "growth": _growth(_read(results / "scaling" / "rows.csv")),
        "processes": _processes(_read(results / "processes" / "rows.csv")),
        "estimate": _estimate(_read(results / "processes" / "estimate.csv")),
        "recurrence": _recurrence(_read(results / "recurrence" / "rows.csv")),
        "loading": _loading(_read(results / "loading" / "rows.csv")),
    }


def _ratios(rows: Rows) -> str:
    """The peer's time over ours: experiments down, devices across."""
    devices = _different(rows, "device")
    ratios = {(row["experiment"], row["device"]): row["ratio"] for row in rows}
    body = [[name, *(ratios.get((name, device), "-") for device in devices)] for name in _different(rows, "experiment")]
    return _grid(["experiment", *devices], body)


def _trainings(rows: Rows) -> str:
    """The newest of each task and model, by the order of the file."""
    head = ["task", "model", "metric", "test", "baseline", "parameters", "epochs", "minutes", "device", "commit", "day"]
    newest = {(row["task"], row["model"]): row for row in rows}
    body = [
        [
            *(row["task"], row["model"], row["metric"], row["test"], row["baseline"], f"{int(row['n_parameters']):,}"),
            *(row[key] for key in ("epochs", "minutes", "device", "commit", "finished")),
        ]
        for row in newest.values()
    ]
    return _grid(head, body)


def _peers(rows: Rows) -> str:
    """A table of each device; a CPU's memory is that of the whole process, a GPU's that of the allocator."""
    devices = _different(rows, "device")
    return "\n\n".join(_on_device([row for row in rows if row["device"] == each]) for each in devices) or NOTHING


def _on_device(rows: Rows) -> str:
    head = ["experiment", "times as fast", "ours, ms", "published, ms", "ours, MiB", "published, MiB"]
    head += ["batch", "commit"]
    body = [
        [
            *(row["experiment"], row["ratio"], _ms(row["ours_s"]), _ms(row["peer_s"])),
            *(f"{int(row[f'{side}_peak_memory_bytes']) / 2**20:.0f}" for side in ("ours", "peer")),
            *(row["batch_size"], row["commit"]),
        ]
        for row in rows
    ]
    peers = {f"{row['peer']} at {row['peer_commit']} in {row['peer_versions']}" for row in rows}
    versions = "; ".join(["ours in " + ", ".join(_different(rows, "versions")), *sorted(peers)])
    days = " and ".join(_different(rows, "date"))
    return f"**{rows[0]['device']}**, {days}; {versions}:\n\n{_grid(head, body)}"


def _steps(profiles: Rows) -> str:
    head = ["experiment", "batch", "precision", "device", "step, ms", "floors, ms", "reached", "largest gap", "day"]
    rows = [
        [
            *(setting_name(each), each["batch_size"], each["precision"], device_name(each)),
            *(_ms(each["step_s"]), _ms(each["floor_s"]), f"{each['reached']:.0%}", each["parts"][0]["part"]),
            each["date"],
        ]
        for each in profiles
    ]
    return _grid(head, rows)


def _parts(profile: dict[str, Any]) -> str:
    """The largest gaps of one step, and all other parts together."""
    rows = [_part(row["part"], [row]) for row in profile["parts"][:_PARTS]]
    if others := profile["parts"][_PARTS:]:
        rows.append(_part(f"{len(others)} others", others))
    rows.append(_part("**step**", profile["parts"]))
    rates = ", ".join(f"{name} {rate:.0f} GFLOP/s" for name, rate in profile["matrix_gflop_per_s"].items())
    limits = f"{device_name(profile)}: {rates}, {profile['bandwidth_gb_per_s']:.1f} GB/s"
    title = f"**{setting_name(profile)}**, batch {profile['batch_size']}, {profile['precision']}, {limits}"
    head = ["part", "forward, ms", "backward, ms", "floor, ms", "gap, ms", "reached", "GFLOP", "MiB at least"]
    return f"{title}\n\n{_grid(head, rows)}"


def _part(name: str, rows: Rows) -> list[Any]:
    sums = {key: sum(row[key] for row in rows) for key in ("forward_s", "backward_s", "gap_s", "gflop", "mib")}
    floor = sum(row["forward_floor_s"] + row["backward_floor_s"] for row in rows)
    time = sums["forward_s"] + sums["backward_s"]
    cells = [_ms(value) for value in (sums["forward_s"], sums["backward_s"], floor, sums["gap_s"])]
    return [name, *cells, f"{floor / time:.0%}" if floor else "-", f"{sums['gflop']:.2f}", f"{sums['mib']:.0f}"]


def _narrower(profiles: Rows) -> str:
    """Steps that were measured in float32 and in a narrower precision, on the same device and batch."""
    plain = {_place(each): each for each in profiles if each["precision"] == "32-true"}
    pairs = [
        (plain[_place(each)]["step_s"], each)
        for each in profiles
        if each["precision"] != "32-true" and _place(each) in plain
    ]
    rows = [
        [
            *(setting_name(each), each["batch_size"], device_name(each), each["precision"]),
            *(_ms(s), _ms(each["step_s"]), f"{s / each['step_s']:.2f}"),
        ]
        for s, each in pairs
    ]
    return _grid(["experiment", "batch", "device", "precision", "32-true, ms", "this, ms", "times as fast"], rows)


def _precision(trainings: Rows) -> str:
    """Losses at the end of the curves, their distance, and the verdict; a figure that no training reached is "-"."""
    head = [
        "experiment",
        "batch",
        "device",
        "seeds",
        "steps",
        "float32, loss",
        "bf16, loss",
        "distance",
        "noise",
        "ratio",
    ]
    head += ["splits as far", "within noise", "float32, ms", "bf16, ms"]
    body = [
        [
            *(setting_name(each), each["batch_size"], device_name(each), len(each["seeds"]), each["steps"]),
            *(_shown(each[kind]["final_loss"], ".4f") for kind in ("float32", "bf16")),
            *(_shown(each[key], ".2g") for key in ("distance", "noise", "ratio")),
            *(f"{each['as_far']} of {each['splits']}", "yes" if each["within_noise"] else "no"),
            *(_shown(each[kind]["step_s"], ".1f", 1e3) for kind in ("float32", "bf16")),
        ]
        for each in trainings
    ]
    return _grid(head, body)


def _shown(figure: float | None, form: str, unit: float = 1.0) -> str:
    return "-" if figure is None else f"{figure * unit:{form}}"


def _growth(rows: Rows) -> str:
    shapes = [(int(row["length"]), int(row["d_state"])) for row in rows]
    if not shapes:
        return NOTHING
    length, d_state = (max(set(values), key=list(values).count) for values in zip(*shapes, strict=True))
    kinds = {"length": int, "d_state": int, "seconds": float, "extra_mib": float}
    numbers = [row | {key: kind(row[key]) for key, kind in kinds.items()} for row in rows]
    layers = {name: [row for row in numbers if row["layer"] == name] for name in _different(rows, "layer")}
    exponents = {name: growth_exponents(own, length, d_state) for name, own in layers.items()}
    columns = list(next(iter(exponents.values())))
    body = [[name, *own.values()] for name, own in exponents.items()]
    sizes = [f"{min(each)} to {max(each)}" for each in zip(*shapes, strict=True)]
    note = f"L from {sizes[0]} at N = {d_state}; N from {sizes[1]} at L = {length}; H = {rows[0]['d_model']}, batch 1"
    return f"{note}; {', '.join(_where(rows[0]))}.\n\n{_grid(['layer', *columns], body)}"


def _processes(rows: Rows) -> str:
    head = ["experiment", "batch", "device", "processes", "step, ms", "times as fast", "efficiency"]
    head += ["gradients, MB", "their sum, ms", "small sums", "each, ms", "all sums, ms", *_WHEN]
    body = [
        [
            *(setting_name(row), row["batch_size"], device_name(row), row["processes"], _ms(row["step_s"])),
            *(row["speedup"], row["efficiency"], f"{int(row['gradient_bytes']) / 1e6:.2f}", _ms(row["gradient_s"], 2)),
            *(row["small_sums"], _ms(row["small_s"], 2), _ms(row["communication_s"], 2), row["commit"], row["date"]),
        ]
        for row in rows
    ]
    return _grid(head, body)


def _estimate(rows: Rows) -> str:
    head = ["experiment", "batch", "step of", "devices", "examples each", "compute, ms"]
    head += ["gradients, ms", "small sums, ms", "step, ms", "times as fast", "efficiency"]
    times = ("compute_s", "gradient_s", "small_s")
    body = [
        [
            *(setting_name(row), row["batch_size"], device_name(row), row["devices"], row["examples"]),
            *(_ms(row[key], 3) for key in times),
            *(_ms(row["step_s"]), f"{float(row['speedup']):.1f}", f"{float(row['efficiency']):.0%}"),
        ]
        for row in rows
    ]
    links = dict.fromkeys(f"{row['bandwidth_gb_per_s']} GB/s, {row['latency_us']} us" for row in rows)
    table = _grid(head, body)
    return f"**Estimated, not measured.** Link: {'; '.join(links)}.\n\n{table}" if rows else table


def _recurrence(rows: Rows) -> str:
    head = ["layer", "H", "steps before", "steps a second", "recomputed a second", "ratio", "device", *_WHEN]
    keys = ("layer", "d_model", "length", "steps_per_s", "recomputed_per_s", "ratio")
    return _grid(head, [[*(row[key] for key in keys), *_where(row)] for row in rows])


def _loading(rows: Rows) -> str:
    head = ["task", "model", "batch", "loader, samples/s", "model, samples/s", "ratio", "device", *_WHEN]
    keys = ("task", "model", "batch_size", "loader_samples_per_s", "model_samples_per_s", "ratio")
    return _grid(head, [[*(row[key] for key in keys), *_where(row)] for row in rows])


def _read(path: Path) -> Rows:
    return read_csv(path) if path.exists() else []


def _grid(head: list[str], rows: Iterable[list[Any]]) -> str:
    lines = [f"| {' | '.join(map(str, row))} |" for row in [head, ["---"] * len(head), *rows]]
    return "\n".join(lines) if len(lines) > 2 else NOTHING


def _different(rows: Rows, key: str) -> list[str]:
    """Values of a column, each once, in the order in which they come."""
    return list(dict.fromkeys(row[key] for row in rows))


def _where(row: dict[str, Any]) -> list[str]:
    return [device_name(row), row["commit"], row["date"]]


def _place(profile: dict[str, Any]) -> tuple:
    return setting_name(profile), profile["batch_size"], device_name(profile)


def _ms(seconds: float | str, digits: int = 1) -> str:
    return f"{float(seconds) * 1e3:.{digits}f}"
