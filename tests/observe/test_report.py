import html
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from synthetic_run import LABEL, heldout, start, step, write_run
from synthetic_run import rows as make_rows

from megatron_heph.cli import inspect_run
from megatron_heph.cli.main import main
from megatron_heph.errors import InputError
from megatron_heph.observe.metrics import read_metrics
from megatron_heph.observe.report import text
from megatron_heph.observe.report.compare import compare
from megatron_heph.observe.report.curves import running_mean, spread, thin
from megatron_heph.observe.report.page import render, write_report
from megatron_heph.observe.report.tables import ledger, speed
from megatron_heph.observe.rows import Resume, SourceInfo

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")
GAIN = {"agent": 0.9, "code": 0.1, "text": -0.05}
REPAIR = {"agent": 0.2, "code": 0.12, "text": 0.05}


@pytest.fixture
def arms(tmp_path):
    for name in ("run", "control"):
        (tmp_path / name).mkdir()
    write_run(tmp_path / "run", make_rows(gain=GAIN))
    write_run(tmp_path / "control", make_rows(gain=REPAIR, run="quickstart-control", control=True))
    return tmp_path / "run", tmp_path / "control"


class Page(HTMLParser):
    """Rows of cells, the tags, and what the page would load."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.tags, self.loads, self.ids, self._cell = [], [], [], [], False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._cell = tag in ("td", "th") or (self._cell and tag in ("span", "code", "i"))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "data", "action"):
                self.loads.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_endtag(self, tag):
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data):
        if self._cell:
            self.rows[-1][-1] += data


def test_the_table_has_the_numbers_that_compare_computes(arms):
    run, control = arms
    path = write_report(run, control)
    assert path == run / "report.html"
    page = Page(path.read_text())
    comparison = compare(read_metrics(run / "metrics.jsonl"), read_metrics(control / "metrics.jsonl"))
    for row in comparison.domains:
        assert [row.domain, "24,576", text.loss(row.before), text.loss(row.after), text.percent(row.change),
                row.verdict, text.fixed(row.perplexity_before), text.fixed(row.perplexity_after),
                text.loss(row.control_after), text.percent(row.control_change),
                text.signed(row.beyond_repair)] in page.rows  # fmt: skip


def test_the_page_needs_nothing_else(arms):
    page_text = write_report(*arms).read_text()
    page = Page(page_text)
    assert "http://" not in page_text and "https://" not in page_text and "@import" not in page_text
    assert not {"script", "iframe", "img", "object", "embed"} & set(page.tags)
    assert all(load == "data:," or load.startswith("#") for load in page.loads)
    assert set(re.findall(r"url\(([^)]*)\)", page_text)) <= {f"#{name}" for name in page.ids}
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("svg") == 3 + 4
    assert not re.search(r"#0a0b", page_text)  # each stand-in colour became a variable
    assert set(re.findall(r"var\((--\w+)\)", page_text)) <= set(re.findall(r"(--\w+):", page_text))


def test_the_same_record_gives_the_same_page(arms):
    run, control = arms
    metrics, other = (read_metrics(arm / "metrics.jsonl") for arm in arms)
    assert render(run, metrics, control, other, now=0.0) == render(run, metrics, control, other, now=9e9)


def test_the_page_says_what_the_base_is_and_what_was_read(arms):
    run, control = arms
    (run / "export").mkdir()
    (run / "export" / "certificate.json").write_text('{"tensors": {"equal": 272}, "passed": true}')
    page_text = write_report(run, control).read_text()
    assert f'<p class="base">{LABEL}' in page_text
    assert ["api", "agent", "25.0\u202f%", "76,800", "18,000", "4.27"] in Page(page_text).rows
    assert "<dt>tensors.equal</dt><dd>272</dd>" in page_text and "<dt>passed</dt><dd>true</dd>" in page_text
    assert html.escape('lr = 2e-4  # <peak> & "all"', quote=False) in page_text.replace("&#34;", '"')
    assert f"heph report {run} --control {control}" in page_text


def test_every_name_is_escaped(tmp_path):
    bad = '<script>alert("x")</script> $\\frac$'
    sources = {bad: SourceInfo(domain="<i>agent", tokens=5)}
    rows = [start(bad, sources=sources, label=bad)]
    rows += [step(number, mixture=None) for number in (1, 2)]
    (tmp_path / "run").mkdir()
    write_run(tmp_path / "run", rows)
    line = json.dumps({**json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[1]), "step": 3,
                       "loss_by_source": {bad: 2.0}, "tokens_by_source": {bad: 7}})  # fmt: skip
    with (tmp_path / "run/metrics.jsonl").open("a") as file:
        file.write(line + "\n" + line.replace('"step": 3', '"step": 4') + "\n")
    page_text = write_report(tmp_path / "run").read_text()
    assert "<script" not in page_text and "<i>agent" not in page_text
    assert [cell for row in Page(page_text).rows for cell in row if cell == bad]


@pytest.mark.parametrize(
    "rows",
    [
        [start()],
        [start(), heldout(0, GAIN)],
        [start(), heldout(0, GAIN), step(1)],
        [start(), *(step(number, loss=float("nan")) for number in range(1, 5))],
        [start(), *(step(number) for number in range(1, 60))],
        make_rows(gain={"agent": 0.0, "code": 0.0, "text": 0.0}, steps=60, finished=False),
    ],
    ids=["begun", "measured", "one step", "not a number", "no held-out", "nothing changed"],
)
def test_a_report_can_be_written_at_any_time(tmp_path, rows):
    path = write_report(write_run(tmp_path, rows))
    assert path.read_text().rstrip().endswith("</html>")
    assert not list(tmp_path.glob("*.partial"))


def test_speed_leaves_out_the_warm_up_of_each_start(tmp_path):
    rows = [start(), *(step(number) for number in range(1, 41)), Resume(step=40, time=1.0)]
    rows += [step(number) for number in range(41, 81)]
    figures = speed(read_metrics(write_run(tmp_path, rows) / "metrics.jsonl"))
    counted = [*range(11, 41), *range(51, 81)]
    assert (figures.steps, figures.warmup) == (60, 20)
    rates = [step(number).tokens_per_second for number in counted]
    assert (figures.p10, figures.median, figures.p90) == tuple(np.quantile(rates, [0.1, 0.5, 0.9]))
    assert figures.wait == pytest.approx(0.004 / 1.02)


def test_the_ledger_counts_epochs(tmp_path):
    lines = ledger(read_metrics(write_run(tmp_path, make_rows(gain=GAIN)) / "metrics.jsonl"))
    assert {line.source: line.epochs for line in lines} == pytest.approx(
        {"api": 76_800 / 18_000, "traces": 38_400 / 9_000, "stdlib": 0.24, "docs": 0.384}
    )
    assert sum(line.share for line in lines) == pytest.approx(1.0)


def test_curves_are_smoothed_thinned_and_labelled_apart():
    values = np.array([1.0, np.nan, 3.0, 5.0, 100.0])
    assert running_mean(values, 3).tolist() == [1.0, 2.0, 4.0, 36.0, 52.5]
    at = thin(100_000)
    assert (at[0], at[-1], at.size) == (0, 99_999, 400)
    assert thin(3).tolist() == [0, 1, 2]
    placed = spread([0.0, 0.1, 5.0], apart=1.0)
    assert placed == pytest.approx([-0.45, 0.55, 5.0])


def test_the_command_writes_where_it_is_told(arms, tmp_path, capsys):
    run, control = arms
    target = tmp_path / "shown" / "r.html"
    assert main(["report", str(run), "--control", str(control), "-o", str(target)]) == 0
    assert capsys.readouterr().out.strip() == str(target)
    assert target.is_file() and not (run / "report.html").exists()


@pytest.mark.parametrize("content", [None, "", "epoch,loss\n"])
def test_a_folder_that_is_no_run_ends_with_a_message(tmp_path, capsys, content):
    if content is not None:
        (tmp_path / "metrics.jsonl").write_text(content)
    assert main(["report", str(tmp_path)]) == 2
    assert "metrics.jsonl" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_a_run_is_no_control_of_itself(arms):
    with pytest.raises(InputError, match="the run itself"):
        write_report(arms[0], arms[0])


def inspect(folder, *more) -> int:
    import argparse

    parser = argparse.ArgumentParser()
    inspect_run.add_arguments(parser)
    return inspect_run.run(parser.parse_args([str(folder), *more]))


def test_inspect_run_prints_a_table_or_json(arms, capsys):
    (arms[0] / "checkpoints" / "step-00000200").mkdir(parents=True)
    assert inspect(arms[0]) == 0
    out = capsys.readouterr().out
    assert out.startswith("quickstart: finished")
    assert re.search("^agent +2\\.4120 +1\\.5568 +\N{MINUS SIGN}35\\.5", out, re.M)
    assert inspect(arms[0], "--json") == 0
    table = json.loads(capsys.readouterr().out)
    assert (table["state"], table["step"], table["tokens"]) == ("finished", 200, 307_200)
    assert [row["kept"] for row in table["checkpoints"]] == [False, False, False, True]
    assert table["last_losses"][-1]["loss"] == step(200).loss
