"""Trains the built-in model: ``python -m deploy.built_in_model.train --run FOLDER``.

The run's folder holds the shards at work, ``checkpoint.pt``, ``train.log`` and the control files. A run is
ended by SIGTERM or SIGINT (it saves first) and goes on with ``--resume``. The learning rate is stable until
the last ``--decay`` of the budget, or until a file ``decay-now`` appears in the folder (its text, if any,
is the length of the decay in the budget's unit). With ``--resume --restart-schedule`` a run goes on from a
checkpoint of the stable stretch under a new budget.

Until the decay the generator's mix is the one that teaches copying, from then on the one of use.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from deploy.built_in_model.batches import Shard, ShardStream
from deploy.built_in_model.model import ModelConfig, Transformer, low_precision_pays
from deploy.built_in_model.optimizer import build_optimizers
from deploy.built_in_model.schedule import Schedule
from deploy.built_in_model.threads import ThreadChoice

log = logging.getLogger("train")


@dataclass
class Progress:
    """How far a run has come: optimiser steps, tokens read (padding excluded) and seconds of training."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0


class Run:
    """One run: network, averaged copy, optimisers, schedule and data, saved and restored together."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.folder: Path = options.run
        self.progress = Progress()
        self.rng = np.random.default_rng(options.seed)
        torch.manual_seed(options.seed)
        saved = torch.load(self.folder / "checkpoint.pt", weights_only=False) if options.resume else None
        config = (
            ModelConfig(**saved["config"])
            if saved
            else ModelConfig(
                width=options.width,
                layers=options.layers,
                heads=options.width // options.head_dim,
                head_dim=options.head_dim,
                feed_forward=options.feed_forward,
            )
        )
        self.model = Transformer(config, low_precision_pays())
        self.average = Transformer(config, self.model.low_precision)
        self.average.load_state_dict(self.model.state_dict())
        self.optimizers = build_optimizers(self.model, options.matrix_lr, options.rest_lr)
        self.rates = [[g["lr"] for g in o.param_groups] for o in self.optimizers]
        self.schedule = Schedule(options.minutes or options.tokens * 1e6, 0.0)
        self.schedule.decay = options.decay * self.schedule.budget
        first = 1_000_000 * (1 + options.seed)
        if saved:
            first = self._restore(saved)
        self.shards = ShardStream(self.folder / "shards", first, options.shard)
        self.validation = [(path.stem, Shard(path)) for path in options.validation]
        self.smooth_loss: float | None = None

    def _restore(self, saved: dict) -> int:
        self.model.load_state_dict(saved["model"])
        self.average.load_state_dict(saved["average"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.progress = Progress(**saved["progress"])
        if self.options.restart_schedule:
            self.schedule.budget += self.position()
        else:
            self.schedule = Schedule(**saved["schedule"])
        torch.set_rng_state(saved["torch_rng"])
        self.rng.bit_generator.state = saved["numpy_rng"]
        return int(saved["next_shard"])

    def save(self) -> None:
        """Writes the checkpoint; a reader sees the old one or the new one, never a part."""
        state = {
            "config": self.model.config.as_dict(),
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "progress": asdict(self.progress),
            "schedule": asdict(self.schedule),
            "torch_rng": torch.get_rng_state(),
            "numpy_rng": self.rng.bit_generator.state,
            "next_shard": self.shards.next,
        }
        draft = self.folder / "checkpoint.draft"
        torch.save(state, draft)
        draft.replace(self.folder / "checkpoint.pt")

    def position(self) -> float:
        """The progress in the unit of the budget."""
        return self.progress.seconds / 60 if self.options.minutes else float(self.progress.tokens)

    def look_for_decay(self) -> None:
        """Starts the decay when the control file is there."""
        control = self.folder / "decay-now"
        if self.schedule.decay_start is None and control.exists():
            text = control.read_text().strip()
            self.schedule.begin_decay(self.position(), float(text) if text else None)
            control.unlink()
            log.info("decay begins: %s", self.schedule)

    def average_weights(self) -> None:
        """Moves the averaged copy towards the weights: the mean of about the last 500 steps."""
        weight = max(0.002, 1 / (1 + self.progress.step / 50))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), weight)

    def validate(self) -> str:
        """Loss and share of exact assistant turns (teacher-forced argmax); ``~`` is the averaged copy."""
        said = []
        for name, shard in self.validation:
            for label, model in (("", self.model), ("~", self.average)):
                loss, exact = score(model, shard, self.options.sample)
                said.append(f"{name}{label} loss {loss:.3f} exact {exact:.3f}")
        return "  ".join(said)


@torch.no_grad()
def score(model: Transformer, shard: Shard, sample: int) -> tuple[float, float]:
    """Mean loss per target and share of exact assistant turns of the first ``sample`` conversations."""
    order = np.argsort(shard.lengths[:sample]).tolist()
    loss, targets, right, spans = 0.0, 0, 0, 0
    for start in range(0, len(order), 24):
        batch = shard.batch(order[start : start + 24])
        logits = model(batch.ids, batch.positions)
        loss += F.cross_entropy(logits, batch.targets, reduction="sum").item()
        targets += len(batch.targets)
        wrong = torch.zeros(int(batch.spans.max()) + 1).index_add_(
            0, batch.spans, (logits.argmax(-1) != batch.targets).float()
        )
        right += int((wrong == 0).sum())
        spans += len(wrong)
    return loss / targets, right / spans


def train(run: Run) -> None:
    """Steps until the budget is used up or a signal asks to stop; saves on the way and at the end."""
    options, progress = run.options, run.progress
    stop: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: stop.append(received))
    forward = torch.compile(run.model, dynamic=True) if options.compile else run.model
    threads = ThreadChoice(options.threads)
    saved = validated = logged = time.monotonic()
    tokens_at_log = progress.tokens
    try:
        while not stop and not run.schedule.finished(run.position()):
            for batch in run.shards.take().batches(options.batch_tokens, run.rng):
                begun = time.monotonic()
                run.look_for_decay()
                run.shards.keep_busy()
                threads.before_step()
                factor = run.schedule.factor(progress.step, run.position())
                run.shards.stage = "copy" if run.schedule.decay_start is None else "use"
                for optimizer, rates in zip(run.optimizers, run.rates, strict=True):
                    for group, rate in zip(optimizer.param_groups, rates, strict=True):
                        group["lr"] = rate * factor
                loss = F.cross_entropy(forward(batch.ids, batch.positions), batch.targets)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
                for optimizer in run.optimizers:
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
                run.average_weights()
                value = loss.item()
                run.smooth_loss = value if run.smooth_loss is None else 0.97 * run.smooth_loss + 0.03 * value
                progress.step += 1
                progress.tokens += batch.ids.numel()
                now = time.monotonic()
                progress.seconds += now - begun
                threads.after_step(batch.ids.numel(), now - begun)
                if progress.step % options.log_every == 0:
                    log.info(
                        "step %d  %.1f min  %.2f M tokens  %.0f tokens/s  %d threads  rate x%.3f  loss %.4f",
                        progress.step,
                        progress.seconds / 60,
                        progress.tokens / 1e6,
                        (progress.tokens - tokens_at_log) / (now - logged),
                        threads.count,
                        factor,
                        run.smooth_loss,
                    )
                    logged, tokens_at_log = now, progress.tokens
                if now - saved > options.save_seconds:
                    run.save()
                    saved = time.monotonic()
                if run.validation and now - validated > options.validate_seconds:
                    log.info("validation at %.2f M tokens  %s", progress.tokens / 1e6, run.validate())
                    validated = time.monotonic()
                if stop or run.schedule.finished(run.position()):
                    break
        run.save()
        log.info("%s at step %d", "stopped" if stop else "finished", progress.step)
        if run.validation and not stop:
            log.info("validation at %.2f M tokens  %s", progress.tokens / 1e6, run.validate())
    finally:
        run.shards.close()


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="train", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--run", type=Path, required=True, metavar="FOLDER", help="checkpoint, log and shards"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint")
    parser.add_argument(
        "--restart-schedule", action="store_true", help="with --resume: a new budget, counted from here"
    )
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--tokens", type=float, default=70.0, help="budget in million tokens (default 70)")
    budget.add_argument("--minutes", type=float, help="budget in minutes of training instead")
    parser.add_argument(
        "--decay", type=float, default=0.35, help="share of the budget that is decay (default 0.35)"
    )
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--head-dim", type=int, default=32)
    parser.add_argument("--feed-forward", type=int, default=704)
    parser.add_argument("--matrix-lr", type=float, default=0.02, help="Muon's rate (default 0.02)")
    parser.add_argument("--rest-lr", type=float, default=0.006, help="AdamW's rate (default 0.006)")
    parser.add_argument("--batch-tokens", type=int, default=6144)
    parser.add_argument("--shard", type=int, default=2000, help="conversations per shard (default 2000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="at most (default: all)")
    parser.add_argument(
        "--no-compile", dest="compile", action="store_false", help="without torch.compile (half as fast)"
    )
    parser.add_argument(
        "--validation", type=Path, nargs="*", default=[], metavar="NPZ", help="shards to score on"
    )
    parser.add_argument("--sample", type=int, default=400, help="conversations scored of each (default 400)")
    parser.add_argument("--save-seconds", type=float, default=180.0)
    parser.add_argument("--validate-seconds", type=float, default=180.0)
    parser.add_argument("--log-every", type=int, default=50, help="steps between log lines (default 50)")
    return parser.parse_args()


def main() -> None:
    """Runs the command."""
    options = parse()
    options.run.mkdir(parents=True, exist_ok=True)
    handlers = [logging.StreamHandler(), logging.FileHandler(options.run / "train.log")]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers)
    run = Run(options)
    size = sum(parameter.numel() for parameter in run.model.parameters())
    log.info("%.2f M parameters, bfloat16 %s, %s", size / 1e6, run.model.low_precision, vars(options))
    train(run)


if __name__ == "__main__":
    main()
