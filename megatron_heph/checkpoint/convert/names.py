"""Checks that a set of tensors is exactly the set that a model's shape asks for."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from megatron_heph.errors import InputError, nearest

Shapes = dict[str, tuple[int, ...]]


def check_tensors(tensors: Mapping[str, Tensor], expected: Shapes, where: str) -> None:
    """Raises InputError for the first tensor that is missing, unknown, or of another shape."""
    unknown = sorted(set(tensors) - set(expected))
    missing = [name for name in expected if name not in tensors]
    if missing:
        near = f" There is {unknown[0]}, which no part of the model has." if unknown else ""
        raise InputError(
            f"{where}: {len(missing)} of {len(expected)} tensors are missing, the first is {missing[0]} "
            f"{list(expected[missing[0]])}.{near} The model is incomplete, or config.json "
            f"describes another one."
        )
    if unknown:
        raise InputError(
            f"{where}: there are {len(unknown)} tensors that no part of the model has, the first is "
            f"{unknown[0]}; {nearest(unknown[0], expected)} They would be lost."
        )
    for name, shape in expected.items():
        if tuple(tensors[name].shape) != shape:
            raise InputError(
                f"{where}: {name} has the shape {list(tensors[name].shape)}, but the model's shape asks for "
                f"{list(shape)}. Check config.json against the weights."
            )
