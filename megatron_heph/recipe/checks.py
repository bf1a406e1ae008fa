"""What must hold between the keys of a recipe.

A message says what is wrong, both values, the legal values nearby, and the key to change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from megatron_heph.errors import InputError
from megatron_heph.recipe import grid_checks as grid
from megatron_heph.recipe import key_checks as keys
from megatron_heph.recipe.resolved import Resolved

Check = Callable[[Resolved], Iterator[str]]

# The others divide by what the first ones look at.
FIRST: tuple[Check, ...] = (
    keys.sizes_are_positive,
    keys.settings_are_in_range,
    keys.intervals_are_positive,
    keys.stages_are_named_once,
)

CHECKS: tuple[Check, ...] = (
    keys.a_base_brings_its_sizes,
    grid.tensor_divides_the_model,
    grid.pipeline_divides_layers,
    grid.interleaving_never_batches_two_messages,
    grid.micro_batches_fit_interleaving,
    grid.sequence_is_shared_out,
    grid.batches_are_whole,
    keys.schedules_fit_their_stage,
    keys.mixtures_name_domains,
    keys.sources_share_their_domain,
    keys.steps_are_read_ahead,
    keys.megatron_order_is_whole,
    keys.precision_is_built,
    grid.launcher_agrees,
    grid.gpus_are_enough,
)


def check(resolved: Resolved) -> None:
    """Runs every check; raises InputError with all that is wrong."""
    for group in (FIRST, CHECKS):
        problems = [problem for test in group for problem in test(resolved)]
        if problems:
            raise InputError(" ".join(problems))
