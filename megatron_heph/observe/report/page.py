"""report.html: one file that needs nothing else, made from a run's folder."""

from __future__ import annotations

import shlex
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from megatron_heph.errors import InputError
from megatron_heph.observe.metrics import FILE_NAME, Metrics, read_metrics
from megatron_heph.observe.report import charts, tables, text
from megatron_heph.observe.report.compare import compare, perplexity
from megatron_heph.observe.report.summary import summary
from megatron_heph.observe.state import state_of
from megatron_heph.observe.units import count, duration

_TEMPLATES = Path(__file__).parent / "templates"


def write_report(run: Path, control: Path | None = None, output: Path | None = None) -> Path:
    """Writes the report of the run folder `run` to `output`, or to `run/report.html`; returns its path.

    `control` is the folder of a control arm.  The run may be going on, stopped or killed.  Raises
    InputError if a folder is no run, or a package of the extra `report` is missing.
    """
    metrics = read_metrics(run / FILE_NAME)
    control_metrics = read_metrics(control / FILE_NAME) if control else None
    if control and control.resolve() == run.resolve():
        raise InputError(
            f"--control is {control}, the run itself. Name the folder of a run from the same base that read "
            f"as many tokens and no agent data, or leave --control out."
        )
    page = render(run, metrics, control, control_metrics, now=time.time())
    path = output or run / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(path)
    return path


def render(
    run: Path, metrics: Metrics, control: Path | None, control_metrics: Metrics | None, *, now: float
) -> str:
    """The page as HTML; `now` (seconds since the epoch) tells a run that goes on from one that was killed."""
    comparison = compare(metrics, control_metrics)
    headline, *sentences = summary(metrics, comparison)
    return _template().render(
        start=metrics.start,
        metrics=metrics,
        state=state_of(metrics, now),
        headline=headline,
        sentences=sentences,
        comparison=comparison,
        control=control_metrics,
        speed=tables.speed(metrics),
        ledger=tables.ledger(metrics),
        checkpoints=tables.checkpoint_lines(metrics, run),
        facts_rows=tables.grid_facts(metrics),
        model=tables.json_facts(run / "model.json"),
        certificate=tables.json_facts(run / "export" / "certificate.json"),
        recipe=tables.recipe_text(run),
        commands=_commands(run, control),
        **_charts(metrics, control_metrics),
    )


def _charts(metrics: Metrics, control: Metrics | None) -> dict[str, Any]:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise _missing(error) from error
    return {
        "heldout_charts": charts.heldout_charts(metrics, control),
        "training_charts": [c for c in (charts.training_chart(metrics), charts.source_chart(metrics)) if c],
        "machine_charts": [c for c in (charts.rate_chart(metrics), charts.speed_chart(metrics)) if c],
    }


def _template() -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise _missing(error) from error
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": count, "duration": duration, "date": _date, "loss": text.loss, "signed": text.signed,
        "percent": text.percent, "share": text.share, "grouped": text.grouped, "fixed": text.fixed,
        "perplexity": perplexity, "role": charts.colour_role,
    }  # fmt: skip
    return environment.get_template("report.html.j2")


def _missing(error: ImportError) -> InputError:
    return InputError(
        f"The report needs a package that is not installed ({error}): pip install 'megatron-heph[report]'."
    )


def _commands(run: Path, control: Path | None) -> list[str]:
    lines = [["heph", "train", str(run / "recipe.toml")]]
    lines += [["heph", "train", str(control / "recipe.toml")]] if control else []
    lines += [["heph", "report", str(run), *(["--control", str(control)] if control else [])]]
    return [shlex.join(line) for line in lines]


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
