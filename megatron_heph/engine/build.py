"""From a resolved recipe to an engine on the grid."""

from __future__ import annotations

from megatron_heph.engine.grid import Grid
from megatron_heph.engine.init import init_weights
from megatron_heph.engine.model import DTYPES, build_model, transformer_config
from megatron_heph.engine.optimizer import build_optimizer
from megatron_heph.engine.state import load
from megatron_heph.engine.step import Engine, data_parallel
from megatron_heph.recipe.resolved import Resolved


def build_engine(resolved: Resolved, grid: Grid, sources: int) -> Engine:
    """The model and its optimizer, weights unset; `sources` is how many the losses are kept apart for."""
    recipe = resolved.recipe
    config = transformer_config(resolved.shape, grid.size, recipe.parallel, DTYPES[recipe.precision.format])
    models = build_model(resolved.shape, config)
    distributed = recipe.parallel.distributed_optimizer
    chunks = data_parallel(config, models, distributed=distributed)
    optimizer = build_optimizer(recipe.optim, config, chunks, distributed=distributed)
    return Engine(grid, config, chunks, sources, optimizer)


def begin(engine: Engine, resolved: Resolved) -> None:
    """The weights that training begins with: the base's, or fresh ones where the recipe asks for them."""
    if resolved.base is not None:
        load(engine, resolved.base.weights, optimizer=False)
    else:
        init_weights(engine.models, resolved.shape, resolved.recipe.seed)
        if engine.optimizer is not None:
            engine.optimizer.inner.reload_model_params()
