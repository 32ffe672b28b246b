"""From a folder to a torch module with a known task: what goes in, what comes out, what its numbers mean."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when transformers is imported

import torch
import transformers
from tokenizers import Tokenizer

from optimizer.data import raw_samples
from optimizer.errors import InputError, first_line
from optimizer.sources.base import quietly
from optimizer.sources.huggingface import TOKENIZER, read_json
from optimizer.sources.pytorch import modules
from optimizer.sources.pytorch.export import Task, parameters
from optimizer.texts import are_texts, text_samples

_TEXTS = ("input_ids", "attention_mask", "token_type_ids")
_HEADS = {
    "ForSequenceClassification": ("texts", transformers.AutoModelForSequenceClassification),
    "ForTokenClassification": ("texts", transformers.AutoModelForTokenClassification),
    "ForImageClassification": ("images", transformers.AutoModelForImageClassification),
}
_KNOWN = "text, token and image classification, and sentence embeddings (modules.json)"


@dataclass(frozen=True)
class Model:
    """A module in evaluation mode, by names in and out, and what its folder says of it."""

    module: torch.nn.Module
    takes: str  # "texts" or "images"
    tokenizer: bytes | None
    class_labels: tuple[str, ...]


class Texts(torch.nn.Module):
    """Token ids in, int64 [batch, sequence]; ``after`` makes the outputs of what the model gives."""

    def __init__(self, model: torch.nn.Module, after: Callable[[Any, torch.Tensor], dict[str, Any]]) -> None:
        super().__init__()
        self.model = model
        self.after = after

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """The outputs by name."""
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        result = self.model(input_ids=input_ids, attention_mask=attention_mask, **types)
        return self.after(result, attention_mask)


class Images(torch.nn.Module):
    """Pixels in, float32 [batch, channels, height, width]; logits out."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> dict[str, torch.Tensor]:
        """The logits [batch, classes]."""
        return {"logits": self.model(pixel_values=pixel_values).logits}


def load(folder: Path, config: Mapping[str, Any]) -> Model:
    """The model in ``folder``, from its own files only.

    Raises:
        InputError: it does what is not known here, or lacks weights.
    """
    if (folder / "modules.json").is_file():
        model = _pretrained(folder, transformers.AutoModel, unused="pooler.")
        module = Texts(model, _Pooled(*_pooling(folder)))
        return Model(module.eval(), "texts", _tokenizer(folder, config), ())
    (architecture,) = config.get("architectures") or [""]
    for head, (takes, kind) in _HEADS.items():
        if architecture.endswith(head):
            model = _pretrained(folder, kind)
            labels = tuple(str(model.config.id2label[index]) for index in range(model.config.num_labels))
            if takes == "images":
                return Model(Images(model).eval(), takes, None, labels)
            return Model(Texts(model, _logits).eval(), takes, _tokenizer(folder, config), labels)
    raise InputError(f"{folder} holds {architecture or 'no architecture'}; known here are {_KNOWN}.")


def task(folder: Path, model: Model, calibration: str) -> Task:
    """What there is to export: batch and sequence are free.

    Raises:
        InputError: the calibration data is not what the model takes.
    """
    what = f"the model in {folder}"
    if model.takes == "images":
        found = modules.task(what, model.module, raw_samples(calibration), calibration)
        return replace(found, axes={name: {0: "batch", **axes} for name, axes in found.axes.items()})
    if are_texts(calibration):
        raw = text_samples(calibration, model.tokenizer, model.class_labels)
        # One sentence has but zeros there, and the model takes them without being told.
        samples = ({name: one[name] for name in _TEXTS[:2]} for one in raw)
    else:
        known = set(parameters(model.module.model))
        samples = ({name: one[name] for name in one if name in known} for one in raw_samples(calibration))
    found = modules.task(what, model.module, samples, calibration)
    return replace(found, axes={name: {0: "batch", 1: "sequence"} for name in found.samples[0]})


def _logits(result: Any, _mask: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"logits": result.logits}


@dataclass(frozen=True)
class _Pooled:
    """From hidden states to one vector for each text."""

    is_mean: bool
    normalises: bool

    def __call__(self, result: Any, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        hidden = result.last_hidden_state
        if self.is_mean:
            weights = mask.unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        else:
            pooled = hidden[:, 0]
        return {"embedding": torch.nn.functional.normalize(pooled, dim=1) if self.normalises else pooled}


def _pooling(folder: Path) -> tuple[bool, bool]:
    """Whether tokens are averaged (or the first one taken), and the vectors normalised."""
    try:
        steps = json.loads((folder / "modules.json").read_bytes())
        kinds = {entry["type"].rpartition(".")[2]: entry["path"] for entry in steps}
    except (ValueError, TypeError, KeyError):
        raise InputError(f"{folder / 'modules.json'} is no list of modules: save the model anew.") from None
    for kind, path in kinds.items():
        if kind not in ("Transformer", "Pooling", "Normalize") or (kind == "Transformer" and path):
            raise InputError(f"{folder} has a module {kind} in '{path}', which is not known here.")
    if "Pooling" not in kinds:
        raise InputError(f"{folder} has no pooling in modules.json, so it gives no sentence embeddings.")
    config = read_json(folder / kinds["Pooling"] / "config.json")
    modes = [name.removeprefix("pooling_mode_") for name, value in config.items() if value is True]
    modes = [
        name for name in modes if name in ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
    ]
    if isinstance(config.get("pooling_mode"), str):
        modes = [
            {"mean": "mean_tokens", "cls": "cls_token"}.get(config["pooling_mode"], config["pooling_mode"])
        ]
    if modes not in (["mean_tokens"], ["cls_token"]):
        raise InputError(
            f"{folder} pools by {', '.join(modes) or 'nothing'}: known are mean_tokens and cls_token."
        )
    return modes == ["mean_tokens"], "Normalize" in kinds


def _pretrained(folder: Path, kind: Any, unused: str = "\0") -> torch.nn.Module:
    """The model with its weights, all of which must be there but those that begin with ``unused``."""
    transformers.utils.logging.disable_progress_bar()
    try:
        with quietly():
            model, info = kind.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=any(folder.glob("model*.safetensors")),
                dtype=torch.float32,
                # As matrix products, which the passes fuse better than what sdpa is written out as.
                attn_implementation="eager",
                ignore_mismatched_sizes=True,  # which are refused below
                output_loading_info=True,
            )
    except Exception as error:  # noqa: BLE001 - transformers raises many types, all of which mean this
        raise InputError(f"transformers cannot read {folder} ({first_line(error)}).") from None
    lacking = [*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])]
    for name in sorted(name for name in lacking if not name.startswith(unused)):
        raise InputError(f"{folder} has no weight '{name}' of the right shape: save the trained model anew.")
    return model.eval()


def _tokenizer(folder: Path, config: Mapping[str, Any]) -> bytes | None:
    """tokenizer.json for the bundle: cut off where the model ends, padded where several texts are encoded."""
    if not (folder / TOKENIZER).is_file():
        return None
    try:
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    except Exception as error:  # noqa: BLE001 - tokenizers raises plain exceptions
        raise InputError(f"{folder / TOKENIZER} is no tokenizer ({error}): save it anew.") from None
    tokenizer.enable_truncation(_longest(folder, config))
    pad = config.get("pad_token_id")
    pad = pad if isinstance(pad, int) and tokenizer.id_to_token(pad) is not None else 0
    tokenizer.enable_padding(pad_id=pad, pad_token=tokenizer.id_to_token(pad))
    return tokenizer.to_str().encode()


def _longest(folder: Path, config: Mapping[str, Any]) -> int:
    """The most tokens of a text, as the folder has it."""
    lengths = [config.get("max_position_embeddings")]
    if config.get("model_type") in (
        "roberta",
        "xlm-roberta",
        "camembert",
    ):  # which count from the padding's id on
        lengths = [config["max_position_embeddings"] - config.get("pad_token_id", 1) - 1]
    for file, key in (
        ("sentence_bert_config.json", "max_seq_length"),
        ("tokenizer_config.json", "model_max_length"),
    ):
        if (folder / file).is_file():
            lengths.append(read_json(folder / file).get(key))
    return min((int(one) for one in lengths if isinstance(one, int | float) and 0 < one < 1e6), default=512)
