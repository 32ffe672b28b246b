"""Silero VAD: where in a sound somebody speaks; convolutions and an LSTM over the frames, 1.2 MB, opset 16.

From the package silero-vad (its graph for whole sequences). Data: sentences of Python's docstrings spoken
by eSpeak NG, in pauses and noise, 3 to 8 seconds. Metric: mean absolute error of the frames'
probability of speech.

Usage: python -m benchmarks.models.vad FOLDER (in an environment with espeakng-loader and numpy)
"""

import ast
import ctypes
import random
import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.samples import Array, write_sets
from scripts.from_wheel import take

_RATE, _FRAME, _CONTEXT = 16000, 512, 64
_VOICES = ("en", "en-us", "de", "es", "fr", "it")
_SYNCHRONOUS, _UTF8, _RATE_PARAMETER, _PITCH_PARAMETER = 2, 1, 1, 3  # of speak_lib.h


def main(folder: Path) -> None:
    """Write the model and the sets."""
    take("silero-vad", "silero_vad/data/silero_vad_16k_sequence.onnx", folder / "model.onnx")
    write_sets(folder, _sounds(), {"calibration": 48, "evaluation": 200, "report": 200})


def _sounds() -> Iterator[dict[str, Array]]:
    dice = random.Random(14)
    speaker = _Speaker()
    sentences = sorted(set(_sentences()))
    dice.shuffle(sentences)
    state = np.zeros((1, 1, 128), np.float32)
    for sentence in sentences:
        speech = speaker.say(sentence[:60], dice)
        noise = np.random.default_rng(dice.getrandbits(32))
        pauses = [np.zeros(round(_RATE * dice.uniform(0.2, 1.5)), np.float32) for _ in range(2)]
        sound = np.concatenate([pauses[0], speech * np.float32(dice.uniform(0.1, 0.9)), pauses[1]])[
            : 8 * _RATE
        ]
        sound += noise.normal(0, 10 ** dice.uniform(-4, -1.3), sound.size).astype(np.float32)
        yield {"input": _frames(sound), "h": state, "c": state}


def _frames(sound: Array) -> Array:
    """float32 [frames, 576]: each frame behind the end of the one before."""
    frames = sound[: sound.size // _FRAME * _FRAME].reshape(-1, _FRAME)
    before = np.concatenate([np.zeros((1, _CONTEXT), np.float32), frames[:-1, -_CONTEXT:]])
    return np.concatenate([before, frames], axis=1)


def _sentences() -> Iterator[str]:
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.FunctionDef):
                line = (ast.get_docstring(node) or "").partition("\n")[0]
                if re.fullmatch(r"[A-Z][A-Za-z ,']{30,}\.", line):
                    yield line


class _Speaker:
    """eSpeak NG, as its C library is called."""

    def __init__(self) -> None:
        import espeakng_loader  # noqa: PLC0415 - only where sounds are made

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        folder = espeakng_loader.get_data_path().encode()
        self._rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, folder, 0)
        self._pieces: list[Array] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self._keep = kind(self._take)
        self._library.espeak_SetSynthCallback(self._keep)

    def _take(self, sound: "ctypes._Pointer[ctypes.c_short]", count: int, _events: object) -> int:
        if sound and count:
            self._pieces.append(np.ctypeslib.as_array(sound, (count,)).copy())
        return 0

    def say(self, text: str, dice: random.Random) -> Array:
        """float32 at 16 kHz, in [-1, 1]; voice, pace and pitch by chance."""
        self._pieces.clear()
        self._library.espeak_SetVoiceByName(dice.choice(_VOICES).encode())
        self._library.espeak_SetParameter(_RATE_PARAMETER, dice.randint(120, 240), 0)
        self._library.espeak_SetParameter(_PITCH_PARAMETER, dice.randint(20, 80), 0)
        data = text.encode()
        self._library.espeak_Synth(data, len(data) + 1, 0, 0, 0, _UTF8, None, None)
        sound = np.concatenate(self._pieces).astype(np.float32) / 32768
        places = np.arange(int(sound.size * _RATE / self._rate)) * (self._rate / _RATE)
        resampled: Array = np.interp(places, np.arange(sound.size), sound).astype(np.float32)
        return resampled


if __name__ == "__main__":
    main(Path(sys.argv[1]))
