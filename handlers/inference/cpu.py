"""The CPU that answers. It decides how the model's arithmetic rounds, and Lambda's hosts differ."""

from handlers.inference.messages import to_json

_FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm", "sve")


def describe() -> str:
    """Its name, and what of it decides how models run, as JSON: ``{"model": "…", "flags": ["avx2", …]}``."""
    fields: dict[str, str] = {}
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:  # noqa: PTH123 - pathlib costs a start
        for line in file:
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
    there = (fields.get("flags") or fields.get("Features") or "").split()
    return to_json(
        {"model": fields.get("model name", ""), "flags": [flag for flag in _FLAGS if flag in there]}
    )
