"""Finds the bridge of a model family: one module each, named like the family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from megatron_heph.checkpoint.convert import llama
from megatron_heph.errors import InputError, RefusedError, nearest
from megatron_heph.recipe.shape import ModelShape


class Bridge(Protocol):
    """What a family's module offers."""

    MODEL_TYPE: str
    ARCHITECTURE: str

    def shape_from_config(self, config: Mapping[str, Any], where: str) -> ModelShape:
        """Reads config.json, and refuses every key that it does not honour."""

    def config_from_shape(self, shape: ModelShape) -> dict[str, Any]:
        """Writes config.json."""

    def from_hf(
        self, shape: ModelShape, tensors: Mapping[str, Tensor], where: str = ...
    ) -> dict[str, Tensor]:
        """HF names -> megatron names."""

    def to_hf(self, shape: ModelShape, tensors: Mapping[str, Tensor], where: str = ...) -> dict[str, Tensor]:
        """Megatron names -> HF names."""


BRIDGES: dict[str, Bridge] = {"llama": llama}


def for_family(family: str) -> Bridge:
    """The bridge of a `ModelShape.family`."""
    return BRIDGES[family]


def for_config(config: Mapping[str, Any], where: str) -> Bridge:
    """The bridge of a config.json.

    Raises InputError without a model_type, RefusedError for a type or an architecture without a bridge.
    """
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise InputError(f"{where} has no model_type, so it is unknown what model it describes.")
    types = {bridge.MODEL_TYPE: bridge for bridge in BRIDGES.values()}
    if model_type not in types:
        raise RefusedError(
            f"{where}: there is no bridge for model_type {model_type!r}; {nearest(model_type, types)}"
        )
    bridge = types[model_type]
    architectures = config.get("architectures") or [bridge.ARCHITECTURE]
    if architectures != [bridge.ARCHITECTURE]:
        raise RefusedError(
            f"{where}: architectures is {architectures}, but only [{bridge.ARCHITECTURE!r}] is supported: "
            f"another head or body would be lost."
        )
    return bridge
