"""The one door to megatron-core: shims first, then the names that this room uses.

Other modules of the engine import megatron's names from here, so that a change of version is met in one place.
"""

from __future__ import annotations

import logging
import queue
import warnings

from megatron_heph.engine import shims

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # "Transformer Engine and Apex are not installed": that is the plan here
    shims.install()
    from megatron.core import __version__ as megatron_version
    from megatron.core import dist_checkpointing, parallel_state
    from megatron.core.dist_checkpointing.mapping import ShardedTensor, ShardedTensorFactory
    from megatron.core.dist_checkpointing.strategies import filesystem_async
    from megatron.core.distributed import (
        DistributedDataParallel,
        DistributedDataParallelConfig,
        finalize_model_grads,
    )
    from megatron.core.models.gpt import GPTModel
    from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
    from megatron.core.optimizer import MegatronOptimizer, OptimizerConfig, get_megatron_optimizer
    from megatron.core.packed_seq_params import PackedSeqParams
    from megatron.core.pipeline_parallel import get_forward_backward_func
    from megatron.core.tensor_parallel import model_parallel_cuda_manual_seed
    from megatron.core.transformer import ModuleSpec, TransformerConfig
    from megatron.core.transformer.module import MegatronModule
    from megatron.core.transformer.transformer_block import TransformerBlockSubmodules, get_num_layers_to_build

# The writer hands its results over through a helper process, which savers in other processes need.  Ours
# saves in this one; the helper would take seconds to start, be ended by a signal to the whole job (and
# the checkpoint that the signal asked for with it), and outlive a kill.
filesystem_async._results_queue = queue.Queue()

# 0.19 repeats at every model that GPTModel will give way to HybridModel: said once, in docs/architecture.md.
logging.getLogger("megatron.core").setLevel(logging.ERROR)

__all__ = [
    "DistributedDataParallel",
    "DistributedDataParallelConfig",
    "GPTModel",
    "MegatronModule",
    "MegatronOptimizer",
    "ModuleSpec",
    "OptimizerConfig",
    "PackedSeqParams",
    "ShardedTensor",
    "ShardedTensorFactory",
    "TransformerBlockSubmodules",
    "TransformerConfig",
    "dist_checkpointing",
    "finalize_model_grads",
    "get_forward_backward_func",
    "get_gpt_layer_local_spec",
    "get_megatron_optimizer",
    "get_num_layers_to_build",
    "megatron_version",
    "model_parallel_cuda_manual_seed",
    "parallel_state",
]
