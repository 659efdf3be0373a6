"""Writers and callbacks that people ask for by name, on the real packages where they are installed."""

from __future__ import annotations

import concurrent.futures
import inspect
import logging
from typing import Any, List

import numpy as np
import pytest

from conftest import QUICK, Broker, messages
from msgstream import Ended, Job, Listener
from msgstream.contrib.futures import as_completed, follow
from msgstream.contrib.summary import SummaryWriter
from msgstream.monitor import Complete, Error, Join, Log, Progress, Start


def steps(told: List[Any]) -> List[Any]:
    return [(message.k, message.total, message.units) for message in told if isinstance(message, Progress)]


class Tensor:
    """What frameworks give for a loss."""

    def item(self) -> float:
        return 0.25


def test_a_summary_writer_publishes(broker: Broker, listener: Listener, caplog: pytest.LogCaptureFixture) -> None:
    writer = SummaryWriter("fit", 100, server=broker.address, options=QUICK)
    writer.add_scalar("loss/train", Tensor(), 1)
    writer.add_scalar("loss/train", np.float32(0.125), 2, walltime=1.0)
    writer.add_scalar("accuracy", float("nan"), 1, new_style=True)
    writer.add_scalars("loss", {"a": 1, "b": 2}, 3)
    with caplog.at_level(logging.WARNING, "msgstream"):
        writer.add_image("sample", np.zeros((3, 3)), 3)
        writer.add_image("sample", np.zeros((3, 3)), 4)
    assert [record.getMessage() for record in caplog.records] == ["fit: what add_image gives is not published"]
    writer.add_text("note", "a text", 3)
    writer.add_hparams({"lr": 0.1}, {"loss": 0.5})
    with pytest.raises(AttributeError, match="has no attribute 'scalar'"):
        writer.scalar("loss", 1)
    writer.flush()
    header = broker.header_of("fit")
    assert isinstance(header, Join) and (header.k, header.total) == (3, 100)
    assert header.more["scalars"] == {"loss/train": 0.125, "accuracy": None, "loss/a": 1, "loss/b": 2}
    writer.close()
    writer.close()
    start, one, two, nan, both, text, hyper, end = messages(listener)
    assert isinstance(start, Start) and isinstance(end, Complete)
    assert (one.k, one.text, one.more["scalars"]) == (1, "loss/train 0.25", {"loss/train": 0.25})
    assert (two.k, two.text, nan.k, nan.text) == (2, "loss/train 0.125", 2, "accuracy nan")
    assert (both.k, both.text) == (3, "loss/a 1, loss/b 2")
    assert text == Log("note: a text", more={"tag": "note", "step": 3}) and hyper.text == "hyperparameters: lr 0.1, loss 0.5"


def test_a_writer_takes_what_tensorboards_takes(broker: Broker) -> None:
    theirs = pytest.importorskip("tensorboardX").SummaryWriter
    for name in ("add_scalar", "add_scalars", "add_text", "add_hparams"):
        wanted = [each for each in inspect.signature(getattr(theirs, name)).parameters][:4]
        ours = [each for each in inspect.signature(getattr(SummaryWriter, name)).parameters]
        assert ours[: len(wanted)] == wanted or name == "add_hparams" and ours[:3] == wanted[:3]
    writer = SummaryWriter(job=Job("unused", server=broker.address, options=QUICK))
    for name in dir(theirs):
        if name.startswith("add_") or name in ("flush", "close"):
            assert callable(getattr(writer, name))


def test_a_writer_that_fails_in_its_block_says_so_and_one_in_a_job_leaves_it(broker: Broker, listener: Listener) -> None:
    with pytest.raises(TypeError, match="either a stream or a job"):
        SummaryWriter()
    with Job("fit", server=broker.address, options=QUICK) as job:
        writer = SummaryWriter(job=job)
        writer.add_scalar("loss", 1.0)
        writer.close()
        job.log("goes on")
    assert isinstance(messages(listener)[-2], Log)
    with broker.remote() as remote:
        remote["fit"] = "again"
        assert remote.flush()
        again = broker.joined("fit")
    with pytest.raises(ZeroDivisionError), SummaryWriter("fit", server=broker.address, options=QUICK) as writer:
        raise ZeroDivisionError("why")
    assert isinstance(messages(again)[-1], Error)


def test_a_writer_that_nobody_closes_ends_with_the_program(broker: Broker, listener: Listener, script: Any) -> None:
    ended = script('from msgstream.contrib.summary import SummaryWriter\nSummaryWriter("fit").add_scalar("loss", 1.0, 1)\n')
    assert (ended.returncode, ended.stderr) == (0, "")
    *_, last, end = listener
    assert isinstance(last.message, Progress) and end == Ended("fit")


def half(k: int) -> float:
    return 1 / (k % 2)


@pytest.mark.parametrize("kind", [concurrent.futures.ThreadPoolExecutor, concurrent.futures.ProcessPoolExecutor])
def test_futures_tell_how_many_are_done(broker: Broker, listener: Listener, kind: Any) -> None:
    with kind(2) as pool, Job("fit", server=broker.address, options=QUICK) as job:
        futures = [pool.submit(half, k) for k in range(6)]
        assert len({id(future) for future in as_completed(futures, job)}) == 6
    told = messages(listener)
    assert steps(told) == [(k, 6, "tasks") for k in range(7)]
    *_, last, end = told
    assert (last.text, last.more) == ("3 failed", {"failed": 3}) and isinstance(end, Complete)


def test_futures_that_end_after_their_job_or_are_cancelled_do_no_harm(broker: Broker, listener: Listener) -> None:
    late, cancelled = concurrent.futures.Future[int](), concurrent.futures.Future[int]()
    with Job("fit", server=broker.address, options=QUICK) as job:
        assert follow(iter([late, cancelled]), job, "fits") == [late, cancelled]
        assert cancelled.cancel()
    late.set_result(1)
    told = messages(listener)
    assert steps(told) == [(0, 2, "fits"), (1, 2, "fits")] and told[-2].text == "1 failed"


@pytest.mark.parametrize("backend", ["sequential", "threading", "loky"])
def test_joblib_tells_how_many_tasks_are_done(broker: Broker, listener: Listener, backend: str) -> None:
    joblib = pytest.importorskip("joblib")
    from msgstream.contrib.joblib import Parallel

    with Job("fit", server=broker.address, options=QUICK) as job:
        tasks = [joblib.delayed(abs)(-k) for k in range(6)]
        assert Parallel(n_jobs=2, backend=backend, batch_size=1, job=job)(tasks) == list(range(6))
        assert Parallel(n_jobs=2, backend="threading", job=job, total=3)(task for task in tasks[:3]) == [0, 1, 2]
        assert Parallel(n_jobs=1)(tasks) == list(range(6))
    told = messages(listener)
    ks = [k for k, total, units in steps(told) if total == 6 and units == "tasks"]
    assert sorted(set(ks)) == list(range(7)) and isinstance(told[-1], Complete)
    assert (3, 3, "tasks") in steps(told)


def test_keras_tells_its_epochs_and_figures(broker: Broker, listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jax")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    from msgstream.contrib.keras import ProgressCallback

    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    ones = np.ones((8, 2)), np.ones((8, 1))
    with Job("fit", server=broker.address, options=QUICK) as job:
        model.fit(*ones, epochs=3, batch_size=2, verbose=0, validation_data=ones, callbacks=[ProgressCallback(job, every=0)])
    told = messages(listener)
    ks = [k for k, _, _ in steps(told)]
    assert {(total, units) for _, total, units in steps(told)} == {(3, "epochs")}
    assert set(k for k, _, _ in steps(told)) == {k / 4 for k in range(13)}
    last = [message for message in told if isinstance(message, Progress)][-1]
    assert set(last.more["scalars"]) == {"loss", "val_loss"} and last.text.startswith("loss ")
    assert isinstance(told[-1], Complete)


def test_the_trainer_of_transformers_tells_its_steps_and_figures(broker: Broker, listener: Listener) -> None:
    transformers = pytest.importorskip("transformers")
    from transformers.trainer_callback import CallbackHandler, TrainerControl, TrainerState

    from msgstream.contrib.transformers import ProgressCallback

    # The trainer itself needs PyTorch. This is the part of it that calls the callbacks, as it does.
    assert issubclass(ProgressCallback, transformers.TrainerCallback)
    with Job("fit", server=broker.address, options=QUICK) as job:
        callbacks = CallbackHandler([ProgressCallback(job, every=0)], None, None, None, None)
        state, control = TrainerState(max_steps=3), TrainerControl()
        callbacks.on_train_begin(None, state, control)
        for step in range(1, 4):
            callbacks.on_step_begin(None, state, control)
            state.global_step = step
            callbacks.on_step_end(None, state, control)
        callbacks.on_log(None, state, control, {"loss": 0.5, "epoch": 1, "note": "text", "grad_norm": float("nan")})
        callbacks.on_train_end(None, state, control)
        state.is_world_process_zero = False
        callbacks.on_train_end(None, state, control)
    told = messages(listener)
    assert steps(told) == [(k, 3, "steps") for k in (0, 1, 2, 3, 3, 3)]
    last = [message for message in told if isinstance(message, Progress)][-1]
    assert (last.text, last.more) == ("loss 0.5, epoch 1", {"scalars": {"loss": 0.5, "epoch": 1}})


@pytest.mark.filterwarnings("default")
def test_lightning_tells_its_steps_and_figures(broker: Broker, listener: Listener) -> None:
    torch = pytest.importorskip("torch")
    lightning = pytest.importorskip("lightning.pytorch")
    from msgstream.contrib.lightning import ProgressCallback

    class Model(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self, interrupt: bool = False) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)
            self.interrupt = interrupt

        def training_step(self, batch: Any, index: int) -> Any:
            if self.interrupt and index == 1:
                raise KeyboardInterrupt
            loss = self.layer(batch).sum()
            self.log("loss", loss)
            return loss

        def validation_step(self, batch: Any, index: int) -> None:
            self.log("val_loss", self.layer(batch).sum())

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.01)

    def fit(job: Job, model: Any) -> None:
        quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, accelerator="cpu")
        data = torch.utils.data.DataLoader(torch.ones(8, 2), batch_size=2)
        lightning.Trainer(max_epochs=2, callbacks=[ProgressCallback(job, every=0)], **quiet).fit(model, data, data)

    with Job("fit", server=broker.address, options=QUICK) as job:
        fit(job, Model())
    told = messages(listener)
    assert sorted({k for k, _, _ in steps(told)}) == list(range(9)) and {total for _, total, _ in steps(told)} == {8}
    last = [message for message in told if isinstance(message, Progress)][-1]
    assert set(last.more["scalars"]) == {"loss", "val_loss"} and isinstance(told[-1], Complete)

    with broker.remote() as remote:
        remote["fit"] = "again"
        assert remote.flush()
        again = broker.joined("fit")
    with Job("fit", server=broker.address, options=QUICK) as job:
        try:
            fit(job, Model(interrupt=True))
        except (KeyboardInterrupt, SystemExit):
            # Newer versions pass it on.
            pass
    assert messages(again)[-1].reason == "interrupted"


@pytest.mark.filterwarnings("default")
def test_a_real_trainer_of_transformers_tells_its_steps(broker: Broker, listener: Listener, tmp_path: Any) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("accelerate")
    transformers = pytest.importorskip("transformers")
    from msgstream.contrib.transformers import ProgressCallback

    class Model(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def forward(self, x: Any, labels: Any) -> Any:
            return {"loss": ((self.layer(x) - labels) ** 2).mean()}

    data = [{"x": torch.ones(2), "labels": torch.ones(1)} for _ in range(8)]
    arguments = transformers.TrainingArguments(
        str(tmp_path), num_train_epochs=2, per_device_train_batch_size=2, logging_steps=1, report_to=[], save_strategy="no", disable_tqdm=True
    )
    with Job("fit", server=broker.address, options=QUICK) as job:
        transformers.Trainer(Model(), arguments, train_dataset=data, callbacks=[ProgressCallback(job, every=0)]).train()
    told = messages(listener)
    assert sorted({k for k, _, _ in steps(told)}) == list(range(9)) and {total for _, total, _ in steps(told)} == {8}
    last = [message for message in told if isinstance(message, Progress)][-1]
    assert "loss" in last.more["scalars"] and isinstance(told[-1], Complete)
