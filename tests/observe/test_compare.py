import dataclasses
import math

import pytest
from synthetic_run import BASE, heldout, start, step, write_run
from synthetic_run import rows as make_rows

from megatron_heph.observe.metrics import Metrics, read_metrics
from megatron_heph.observe.report.compare import compare
from megatron_heph.observe.report.summary import summary
from megatron_heph.observe.rows import DomainLoss, SourceInfo, Start

GAIN = {"agent": 0.9, "code": 0.1, "text": -0.05}
REPAIR = {"agent": 0.2, "code": 0.12, "text": 0.05}
SHARE = 1 - math.exp(-3)  # of the gain that is there at the last step


def read(folder, rows) -> Metrics:
    folder.mkdir(exist_ok=True)
    return read_metrics(write_run(folder, rows) / "metrics.jsonl")


@pytest.fixture
def run(tmp_path):
    return read(tmp_path / "run", make_rows(gain=GAIN))


@pytest.fixture
def control(tmp_path):
    return read(tmp_path / "control", make_rows(gain=REPAIR, control=True))


def test_what_is_learned_is_the_gain_beyond_the_control_arms(run, control):
    comparison = compare(run, control)
    agent = comparison.domain("agent")
    assert agent.before == BASE["agent"]
    assert agent.after == pytest.approx(BASE["agent"] - GAIN["agent"] * SHARE)
    assert agent.change == pytest.approx(agent.after / agent.before - 1)
    assert agent.perplexity_after == pytest.approx(math.exp(agent.after))
    assert agent.beyond_repair == pytest.approx((GAIN["agent"] - REPAIR["agent"]) * SHARE)
    assert [row.verdict for row in comparison.domains] == ["better", "better", "worse"]
    assert comparison.domain("code").beyond_repair < 0
    assert comparison.fair and comparison.notes == ()
    headline, beside, others = summary(run, comparison)
    assert headline == (
        "After 307k tokens, held-out loss on agent data fell from 2.412 to 1.557 nats per token "
        "(\N{MINUS SIGN}35.5\u202f%)."
    )
    assert beside.endswith("is at 2.222: 0.665 nats per token were learned beyond repair.")
    assert others == "Code got better (\N{MINUS SIGN}5.6\u202f%) and text got worse (+1.5\u202f%)."


def test_mere_repair_is_not_called_learning(run, tmp_path):
    control = read(tmp_path / "control", make_rows(gain=GAIN, control=True))
    sentences = summary(run, compare(run, control))
    assert "fell" in sentences[0]
    assert "nothing was learned beyond repair" in sentences[1]


def test_a_loss_that_rose_is_called_worse(tmp_path):
    run = read(tmp_path / "run", make_rows(gain={"agent": -0.4, "code": 0.0, "text": 0.0}))
    headline, beside, others = summary(run, compare(run))
    assert "rose from 2.412 to 2.792" in headline and "worse" in headline and "better" not in headline
    assert "cannot tell learning from mere repair" in beside
    assert others == "Code is unchanged (+0.0\u202f%) and text is unchanged (+0.0\u202f%)."


def test_a_loss_that_is_not_a_number_is_no_result(tmp_path):
    last = dataclasses.replace(heldout(200, GAIN), losses={"agent": DomainLoss(loss=math.nan, tokens=9)})
    run = read(tmp_path / "run", [start(), heldout(0, GAIN), step(200), last])
    assert "is not a number" in summary(run, compare(run))[0]


def on_other_data(row):
    losses = {domain: DomainLoss(loss=held.loss, tokens=7) for domain, held in row.losses.items()}
    return dataclasses.replace(row, losses=losses)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: [row for row in rows if getattr(row, "step", 0) <= 100], "not at equal tokens"),
        (lambda rows: [start(label="another base"), *rows[1:]], "starts from another base"),
        (lambda rows: [*rows[:2], step(1), *rows[3:]], "read 576 tokens of agent data"),
        (lambda rows: [start(sources={"docs": SourceInfo(domain="text")}), *rows[1:]], "unproved"),
        (lambda rows: [rows[0], heldout(20, REPAIR), *rows[3:]], "begin with different losses on agent"),
        (lambda rows: [on_other_data(row) if row.kind == "heldout" else row for row in rows],
         "different held-out agent data"),
    ],
)  # fmt: skip
def test_a_control_that_is_none_is_named_and_nothing_is_called_learned(run, tmp_path, change, says):
    control = read(tmp_path / "control", change(make_rows(gain=REPAIR, control=True)))
    comparison = compare(run, control)
    assert any(says in note for note in comparison.notes)
    sentences = summary(run, comparison)
    assert "do not compare fairly" in sentences[1]
    assert not any("learned" in sentence for sentence in sentences)


def test_a_run_that_goes_on_is_compared_at_its_own_tokens(tmp_path, control):
    run = read(tmp_path / "run", make_rows(gain=GAIN, steps=90, finished=False))
    comparison = compare(run, control)
    assert (comparison.tokens, comparison.control_tokens) == (80 * 1536, 80 * 1536)
    assert comparison.fair


def test_without_two_measurements_nothing_is_claimed(tmp_path):
    run = read(tmp_path / "run", [start(), *(step(number) for number in range(1, 31))])
    assert compare(run) is None
    sentences = summary(run, None)
    assert "never measured" in sentences[0]
    first = sum(step(n).loss for n in (1, 2, 3)) / 3
    assert f"went from {first:.3f} to" in sentences[1]


def test_the_start_row_names_the_domains(run):
    assert isinstance(run.start, Start)
    assert [run.domain_of(name) for name in ("api", "stdlib", "nowhere")] == ["agent", "code", ""]
