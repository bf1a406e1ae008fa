"""megatron_heph: continual pretraining on agent corpora, on megatron-core."""

__version__ = "0.1.0.dev0"
