import io

import pytest
from synthetic_run import step

from megatron_heph.observe.progress import Progress, fit
from megatron_heph.observe.units import count, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def screen(text: str) -> list[str]:
    """What a terminal shows: \\r goes to the line's start, and each write ends with erase-to-end-of-line."""
    lines = []
    for line in text.split("\n"):
        lines.append(line.split("\r")[-1].replace("\x1b[K", ""))
    return lines


def make(stream, width=200, **more):
    now = [0.0]
    bar = Progress(
        total_steps=100, total_tokens=153_600, stream=stream, clock=lambda: now[0], width=lambda: width,
        **more,
    )
    return bar, now


def test_a_terminal_has_one_line_that_is_rewritten():
    stream = Terminal()
    bar, now = make(stream)
    for number in range(1, 11):
        now[0] = 2.0 * number
        bar.update(step(number, loss=2.0))
    shown = screen(stream.getvalue())
    assert len(shown) == 1
    assert shown[0].startswith("step 10/100  broad  tokens 15.4k/154k  loss 2.0000  lr 2.00e-04  norm ")
    assert shown[0].endswith("ETA 3m 00s")  # 2 s a step, 90 left
    bar.close()
    assert stream.getvalue().count("\n") == 1


def test_the_last_row_is_shown_though_the_line_is_throttled():
    stream = Terminal()
    bar, now = make(stream)
    for number in range(1, 6):
        now[0] += 0.01
        bar.update(step(number))
    assert "step 5/" not in stream.getvalue()
    bar.close()
    assert screen(stream.getvalue())[0].startswith("step 5/100")


def test_a_note_leaves_the_live_line_below_itself():
    stream = Terminal()
    bar, _ = make(stream)
    bar.update(step(1))
    bar.note("held-out agent 1.5")
    assert screen(stream.getvalue())[0] == "held-out agent 1.5"
    assert screen(stream.getvalue())[1].startswith("step 1/100")


def test_a_log_file_gets_plain_lines_now_and_then():
    stream = io.StringIO()
    bar, now = make(stream, width=20, every_seconds=30.0)
    for number in range(1, 62):
        now[0] += 1.0
        bar.update(step(number))
    bar.close()
    lines = stream.getvalue().splitlines()
    assert [line.split("/")[0] for line in lines] == ["step 1", "step 31", "step 61"]
    assert "\r" not in stream.getvalue() and "\x1b" not in stream.getvalue()
    assert all("ETA" in line and "tokens/s" in line for line in lines)  # no width to keep to


@pytest.mark.parametrize("width", [200, 80, 40, 12, 3])
def test_the_line_never_reaches_the_width(width):
    stream = Terminal()
    bar, _ = make(stream, width=width)
    bar.update(step(7))
    line = screen(stream.getvalue())[0]
    assert len(line) < width
    assert line.startswith("step 7/100"[: width - 1])
    assert ("loss" in line) == (width >= 40)


def test_the_least_important_field_goes_first():
    fields = [(0, "step 1"), (2, "tokens"), (1, "loss")]
    assert fit(fields, 80) == "step 1  tokens  loss"
    assert fit(fields, 20) == "step 1  loss"  # the full line has 20 columns
    assert fit(fields, 4) == "ste"


def test_the_loss_is_smoothed_but_not_a_number_is_shown_at_once():
    stream = Terminal()
    bar, now = make(stream)
    for number, loss in enumerate((2.0, 3.0), 1):
        now[0] += 1
        bar.update(step(number, loss=loss))
    assert "loss 2.1000" in screen(stream.getvalue())[0]
    now[0] += 1
    bar.update(step(3, loss=float("nan")))
    assert "loss nan" in screen(stream.getvalue())[0]


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (950, "950"), (999.4, "999"), (999.9, "1.00k"), (1500, "1.50k"), (15_360, "15.4k"),
     (999_600, "1.00M"), (134_515_008, "135M"), (1.03e11, "103B"), (2e12, "2.00T"), (0.25, "0.25")],
)  # fmt: skip
def test_counts(number, text):
    assert count(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (2.44, "2.4s"), (9.97, "10s"), (59.6, "1m 00s"), (187, "3m 07s"), (3599.7, "1h 00m"),
     (7500, "2h 05m"), (86_380, "1d 00h"), (4 * 86_400 + 11 * 3600, "4d 11h"), (float("inf"), "?")],
)  # fmt: skip
def test_durations(seconds, text):
    assert duration(seconds) == text
