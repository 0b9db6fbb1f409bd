"""The optimiser of the training: Muon for the matrices, AdamW for embeddings and gains."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

from deploy.built_in_model.model import Transformer


def orthogonalise(batch: Tensor, steps: int = 5) -> Tensor:
    """Roughly the nearest orthogonal matrices to ``batch [n, rows, columns]`` (Newton-Schulz, quintic)."""
    x = batch / (batch.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    for _ in range(steps):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised; parameters are ``[out, in]`` or stacks ``[k, out, in]``.

    Matrices of equal shape are handled in one batch. ``low_precision`` runs the iteration in bfloat16.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.02,
        low_precision: bool = True,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.kind = torch.bfloat16 if low_precision else torch.float32

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[tuple[int, int], list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                by_shape[tuple(sorted(parameter.shape[-2:]))].append(parameter)
            for parameters in by_shape.values():
                self._update(parameters, group["lr"], group["momentum"], group["weight_decay"])

    def _update(self, parameters: list[Tensor], lr: float, momentum: float, decay: float) -> None:
        wide = []
        for parameter in parameters:
            state = self.state[parameter]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(parameter)
            state["momentum"].lerp_(parameter.grad, 1 - momentum)
            update = parameter.grad.lerp(state["momentum"], momentum).to(self.kind)
            update = update.view(-1, *update.shape[-2:])
            wide.append(update.mT if update.shape[-2] > update.shape[-1] else update)
        done = orthogonalise(torch.cat(wide)).split([len(update) for update in wide])
        for parameter, update in zip(parameters, done, strict=True):
            rows, columns = parameter.shape[-2:]
            if rows > columns:
                update = update.mT
            scale = max(1.0, rows / columns) ** 0.5
            parameter.mul_(1 - lr * decay).add_(update.reshape(parameter.shape).float(), alpha=-lr * scale)


def build_optimizers(model: Transformer, matrix_lr: float, rest_lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices and AdamW for what is left."""
    matrices = [p for p in model.blocks.parameters() if p.ndim >= 2]
    rest = [p for p in model.parameters() if all(p is not matrix for matrix in matrices)]
    return [
        Muon(matrices, matrix_lr, low_precision=model.low_precision),
        torch.optim.AdamW(rest, lr=rest_lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]
