"""A study: trainings that search for the lowest validation log loss. None reads test rows."""

from __future__ import annotations

import contextlib
import gc
import json
import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import optuna
import torch
import yaml
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import URL
from transformers import TrainerCallback

from reeltune.boundary import translate, unexpected
from reeltune.config import Config, config_tree
from reeltune.config.reference import resumable_keys
from reeltune.data.folder import PreparedFolder, prepared_data
from reeltune.errors import RunError
from reeltune.files import atomic_file, refuse_foreign
from reeltune.locks import LOCK_FILE, exclusive
from reeltune.models.choices import process_state
from reeltune.runs.folder import ADAPTER_WEIGHTS, UNUSABLE, RunFolder, flat_config
from reeltune.runs.log import LOGGER, logging_to
from reeltune.seeds import stream
from reeltune.training.search_space import Space, decoded, search_space, with_values
from reeltune.training.train import train

STUDY_FILE: Final = "study.db"
BEST_FILE: Final = "best.yaml"
METRIC: Final = "eval_log_loss"
_ERROR, _PRUNED, _IDENTITY, _STARTS = "error", "pruned_after_step", "identity", "starts"
_WEIGHTS: Final = ("adapter_*", "checkpoint-*", f"{UNUSABLE}checkpoint-*", "tokenizer.json")
_NOTE: Final = """
The lowest of many values is lower than it would be on other rows: `reeltune evaluate` the adapter
you choose, once, on test rows, which no trial has read. Importance is the share of the variance of
the log loss (Optuna's fANOVA); it needs five complete trials, and is rough for few.

"""


def tune(
    config: Config, space: Sequence[str], path: Path, trials: int, timeout: float | None, keep: int
) -> dict[str, Any]:
    """Run trials as :func:`reeltune.tune` does, and return the content of ``tune.json``."""
    if process_state().num_processes > 1:
        raise RunError(
            "a trial is a training by one process",
            code="study_with_launcher",
            hint="Run it without a launcher; several commands with one --output-dir share a study",
        )
    study = _Study.open(config, search_space(config, space), path)
    try:
        study.run(trials, timeout, keep)
    finally:
        results = study.write_results()
    if results["best"] is None:
        errors = {trial[_ERROR]["message"] for trial in results["trials"] if trial[_ERROR]}
        raise RunError(
            f"none of {len(results['trials'])} trials is complete",
            code="no_complete_trial",
            where=str(path),
            hint="Correct the cause with another --output-dir, or give more --trials or --timeout",
            items=sorted(errors),
        )
    return results


class _ReportTrial(TrainerCallback):
    """Reports every evaluation but that before training, and ends a training that is pruned."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial

    def on_evaluate(self, *args: Any, metrics: dict[str, float], **kwargs: Any) -> None:
        _, state, control = args
        if state.global_step:
            self._trial.report(metrics[METRIC], 10_000 * state.global_step // state.max_steps)
        if 0 < state.global_step < state.max_steps and self._trial.should_prune():
            self._trial.set_user_attr(_PRUNED, state.global_step)
            LOGGER.info(
                "pruned: %s is above the median of other trials at this share of the training",
                METRIC,
            )
            control.should_training_stop = True


class _MedianPruner(optuna.pruners.BasePruner):
    """Compares shares of the training; Optuna's own compares steps, whatever the schedule is."""

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        found, share = [t.intermediate_values for t in (trial, *complete)], trial.last_step or 0
        lowest = [min([v[at] for at in v if at <= share], default=float("inf")) for v in found]
        return len(complete) >= 5 and lowest[0] > statistics.median(lowest[1:])


@dataclass(frozen=True)
class _Study:
    config: Config
    space: Space
    folder: Path
    study: optuna.Study

    @classmethod
    def open(cls, config: Config, space: Space, folder: Path) -> _Study:
        """Begin or join the study of a folder."""
        free = resumable_keys() | space.keys()
        now = {key: value for key, value in flat_config(config).items() if key not in free}
        now |= {f"--space {key}": text for key, (text, _) in space.items()}
        now |= {"pruned by": "share of the training"}
        now |= prepared_data(PreparedFolder.open(config.data.prepared_dir))
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with exclusive(folder, wait=True):
            if not (folder / STUDY_FILE).exists():
                refuse_foreign(folder, [LOCK_FILE], RunError, code="output_not_empty")
                folder.mkdir(parents=True, exist_ok=True)
            url = str(URL.create("sqlite", database=str(folder.absolute() / STUDY_FILE)))
            options = {"connect_args": {"timeout": 60}}  # seconds, while another process writes
            study = optuna.create_study(
                storage=optuna.storages.RDBStorage(url, engine_kwargs=options),
                study_name="reeltune",
                pruner=_MedianPruner(),
                load_if_exists=True,
            )
            before = study.user_attrs.get(_IDENTITY, now)
            study.set_user_attr(_IDENTITY, before)
        if changed := sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k)):
            raise RunError(
                f"the study was begun with other settings or data: {', '.join(changed)}",
                code="study_changed",
                where=str(folder),
                hint="Repeat its command, or choose another folder with --output-dir",
            )
        return cls(config, space, folder, study)

    def path(self, number: int) -> Path:
        return self.folder / "trials" / str(number)

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials in some states, or all; complete ones first, the best first."""
        found = self.study.get_trials(deepcopy=False, states=states or None)
        return sorted(found, key=lambda t: (t.state != TrialState.COMPLETE, t.value or 0, t.number))

    def run(self, trials: int, timeout: float | None, keep: int) -> None:
        end = None if timeout is None else time.monotonic() + timeout
        while end is None or time.monotonic() < end:
            with contextlib.ExitStack() as lock:
                if (trial := self._next(trials, lock)) is None:
                    return
                self._run(trial)
            errors = [trial.user_attrs.get(_ERROR) for trial in self.trials()]
            if len(errors) >= 3 and errors[0] and all(error == errors[0] for error in errors):
                return  # not the values of a trial made it fail
            self._drop_weights(keep)
            gc.collect()
            torch.cuda.empty_cache()
            torch.compiler.reset()  # the layers of each trial are compiled anew

    def _next(self, limit: int, lock: contextlib.ExitStack) -> Trial | None:
        """Return the next trial, its folder locked: first one whose process has ended, then new."""
        with exclusive(self.folder, wait=True):
            for trial in self.trials(TrialState.RUNNING):
                with contextlib.suppress(RunError), contextlib.ExitStack() as tried:  # in use
                    tried.enter_context(exclusive(self.path(trial.number)))
                    if trial.number in (t.number for t in self.trials(TrialState.RUNNING)):
                        lock.push(tried.pop_all())
                        return Trial(self.study, trial._trial_id)
            if (number := len(self.trials())) >= limit:
                return None
            lock.enter_context(exclusive(self.path(number)))
            # Values depend on the seed, the number and the trials before, and not on the process.
            seed = stream(self.config.train.seed, f"trial {number}").integers(2**32)
            self.study.sampler = optuna.samplers.TPESampler(seed=int(seed))
            return self.study.ask({key: values for key, (_, values) in self.space.items()})

    def _run(self, trial: Trial) -> None:
        values, path = decoded(trial.params), self.path(trial.number)
        _log(
            f"trial {trial.number}: " + ", ".join(f"{key} {_text(v)}" for key, v in values.items())
        )
        name = f"{self.config.train.run_name or self.folder.name}-{trial.number}"
        own = {"train.output_dir": path, "train.run_name": name, "scoring.fusion": "none"}
        newest = [checkpoint.name for checkpoint in RunFolder(path).checkpoints()[-1:]]
        trial.set_user_attr(_STARTS, starts := [*trial.user_attrs.get(_STARTS, ()), newest])
        try:
            if starts.count(newest) > 4:
                raise RunError("four processes died at the same checkpoint", code="trial_crashes")
            train(with_values(self.config, values | own), resume=True, added=[_ReportTrial(trial)])
            loss = RunFolder(path).metrics()["best"][METRIC]
            state = TrialState.PRUNED if _PRUNED in trial.user_attrs else TrialState.COMPLETE
            result = f"{METRIC} {loss:.4f}"
        except (BrokenPipeError, KeyboardInterrupt):  # neither is a fault of the trial
            trial.set_user_attr(_STARTS, starts[:-1])
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the next trial may succeed
            known = translate(error) or unexpected(error)
            trial.set_user_attr(_ERROR, {"code": known.code, "message": str(known)})
            loss, state, result = None, TrialState.FAIL, f"error[{known.code}]: {known}"
        self.study.tell(trial, loss if state == TrialState.COMPLETE else None, state=state)
        _log(f"trial {trial.number} {state.name.lower()}: {result}")

    def _drop_weights(self, keep: int) -> None:
        """Remove the weights of ended trials but the best; those in use stay until next time."""
        with exclusive(self.folder, wait=True):
            ended = self.trials(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
            for folder in (self.path(trial.number) for trial in ended[keep:]):
                if found := [path for name in _WEIGHTS for path in folder.glob(name)]:
                    with contextlib.suppress(RunError), exclusive(folder):
                        for path in found:
                            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def write_results(self) -> dict[str, Any]:
        """Write ``tune.json``, ``report.md`` and ``best.yaml``; return the content of the first."""
        with exclusive(self.folder, wait=True):
            complete = self.trials(TrialState.COMPLETE)
            shares: dict[str, float] = {}
            if len(complete) >= 5 and complete[0].value != complete[-1].value:
                fanova = optuna.importance.FanovaImportanceEvaluator(seed=0)
                shares = optuna.importance.get_param_importances(self.study, evaluator=fanova)
            results = {
                "metric": METRIC,
                "space": {key: text for key, (text, _) in self.space.items()},
                "best": self._row(complete[0]) if complete else None,
                "importances": shares,
                "trials": [self._row(trial) for trial in self.trials()],
            }
            keys = [(key, text, shares.get(key)) for key, (text, _) in self.space.items()]
            table = _markdown([("key", "values", "importance"), *keys])
            report = f"# Search for a configuration\n\n{trials_table(results)}{_NOTE}{table}"
            texts = {"tune.json": json.dumps(results, indent=2), "report.md": report}
            if complete:
                tree = config_tree(with_values(self.config, decoded(complete[0].params)))
                texts[BEST_FILE] = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
            for name, text in texts.items():
                with atomic_file(self.folder / name) as temporary:
                    temporary.write_text(text, encoding="utf-8")
        return results

    def _row(self, trial: FrozenTrial) -> dict[str, Any]:
        return {
            "number": trial.number,
            "state": trial.state.name.lower(),
            METRIC: trial.value,
            "values": decoded(trial.params),
            _PRUNED: trial.user_attrs.get(_PRUNED),
            _ERROR: trial.user_attrs.get(_ERROR),
            "weights": (self.path(trial.number) / ADAPTER_WEIGHTS).is_file(),
        }


def trials_table(results: dict[str, Any]) -> str:
    """Return the trials of ``tune.json`` as a table in Markdown."""
    rows = [["trial", METRIC, "state", "weights", *results["space"]]]
    for trial in results["trials"]:
        state = trial["state"] + (f": {trial[_ERROR]['code']}" if trial[_ERROR] else "")
        values = map(trial["values"].get, results["space"])
        weights = "yes" if trial["weights"] else ""
        rows.append([trial["number"], trial[METRIC], state, weights, *values])
    return _markdown(rows)


def _markdown(rows: Sequence[Sequence[Any]]) -> str:
    """Return a table with aligned columns, the first row its heading."""
    texts = [list(map(_text, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    texts.insert(1, ["-" * width for width in widths])
    return "".join(f"| {' | '.join(map(str.ljust, row, widths))} |\n" for row in texts)


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else f"{value}"


def _log(text: str) -> None:
    with logging_to(None):  # a training has the log to itself
        LOGGER.info("%s", text)
