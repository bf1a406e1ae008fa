import dataclasses

import pytest

from megatron_heph.observe.metrics import Metrics
from megatron_heph.observe.rows import Grid, Start, Step
from megatron_heph.planning.compute import flops_per_token, measured_speed
from megatron_heph.recipe.shape import ModelShape

LLAMA3_8B = ModelShape(
    family="llama", layers=32, hidden=4096, heads=32, kv_heads=8, head_dim=128, ffn=14336, vocab=128256,
    max_positions=8192, rope_theta=500000.0, norm_eps=1e-5, tied=False,
)  # fmt: skip


def test_llama_3_8b_in_both_conventions():
    """Megatron-Bridge publishes 744 TFLOP/s for 14,451 tokens/s and GPU (causal), torchtitan 39.0 % of 989.5 TFLOP/s
    for 6,667 (full): 5.147e10 and 5.791e10 a token."""
    flops = flops_per_token(LLAMA3_8B, 8192)
    assert flops.causal == pytest.approx(5.147e10, rel=2e-4)
    assert flops.full == pytest.approx(5.791e10, rel=2e-4)
    assert flops.causal * 14451 == pytest.approx(744e12, rel=1e-3)
    assert flops.full * 6667 / 989.5e12 == pytest.approx(0.390, rel=1e-3)


def test_a_tied_output_layer_still_multiplies():
    tied = dataclasses.replace(LLAMA3_8B, tied=True)
    assert flops_per_token(tied, 8192) == flops_per_token(LLAMA3_8B, 8192)


def test_speed_is_the_median_of_the_latest_session():
    def step(number, time, speed):
        return Step(
            step=number, tokens=number, stage="s", loss=1.0, lr=1.0, grad_norm=1.0, tokens_per_second=speed,
            step_seconds=1.0, data_seconds=0.0, loss_by_source={}, tokens_by_source={}, time=time,
        )  # fmt: skip

    def start(time):
        return Start(
            run="r", recipe_name="r", label="l", parameters=1, world_size=1, grid=Grid(), device="cpu (gloo)",
            versions={}, time=time,
        )  # fmt: skip

    rows = {"heldouts": (), "checkpoints": (), "resumes": (), "end": None, "last_time": 9.0, "cut_lines": 0}
    steps = (step(1, 1.0, 7000.0), step(2, 5.0, 10.0), step(3, 6.0, 30.0), step(4, 7.0, 20.0))
    speed = measured_speed(Metrics(starts=(start(0.0), start(4.0)), steps=steps, **rows))
    assert speed is not None and speed.tokens_per_second == 20.0 and "3 latest steps" in speed.source
    assert measured_speed(Metrics(starts=(start(8.0),), steps=steps, **rows)) is None
