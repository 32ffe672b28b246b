"""Compile handlers/inference/native/*.c for both processors that Lambda has, by the pinned Zig's C compiler.

The compiler comes as a Python package, so that a machine without one makes the same library, and each makes
the other processor's too. The libraries need nothing but libc, in any version since 2.26.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "handlers/inference/native"
BUILD = ROOT / "build/native"
# Every x86-64 on which Lambda runs has these instructions, and far more.
TARGETS = {"x86_64": "x86_64_v2", "aarch64": "generic"}
LEAST_POWER, MOST_POWER = -342, 342


def main() -> None:
    """Write x86_64.so and aarch64.so beside the sources."""
    BUILD.mkdir(parents=True, exist_ok=True)
    powers = BUILD / "powers_of_ten.c"
    powers.write_text(_powers_of_ten())
    for machine, cpu in TARGETS.items():
        partial = BUILD / f"{machine}.so"
        command = [
            sys.executable,
            "-m",
            "ziglang",
            "cc",
            "-target",
            f"{machine}-linux-gnu.2.26",
            f"-mcpu={cpu}",
        ]
        command += [
            "-std=c2x",
            "-O3",
            "-g0",
            "-s",
            "-shared",
            "-fPIC",
            "-ffp-contract=off",
            "-fno-sanitize=undefined",
        ]
        command += ["-Wall", "-Wextra", "-Wconversion", "-Werror", "-I", str(SOURCES), "-o", str(partial)]
        command += [*map(str, sorted(SOURCES.glob("*.c"))), str(powers)]
        caches = {"ZIG_GLOBAL_CACHE_DIR": str(BUILD / "cache"), "ZIG_LOCAL_CACHE_DIR": str(BUILD / "cache")}
        if subprocess.run(command, env={**os.environ, **caches}, check=False).returncode:
            sys.exit(f"the native library could not be compiled for {machine}: the compiler says why above.")
        partial.replace(SOURCES / partial.name)


def _powers_of_ten() -> str:
    """The table that native.h declares: 128 bits of each power, cut off."""
    rows = []
    for exponent in range(LEAST_POWER, MOST_POWER + 1):
        # So many bits that 128 are left of the smallest.
        bits = 2400
        value = 10**exponent << bits if exponent >= 0 else (1 << bits) // 10**-exponent
        value >>= value.bit_length() - 128
        rows.append(f"{{{value >> 64:#x}, {value & 2**64 - 1:#x}}},")
    head = '#include "native.h"\n\nconst uint64_t POWERS_OF_TEN[MOST_POWER - LEAST_POWER + 1][2] = {'
    return "\n".join([head, *rows, "};\n"])


if __name__ == "__main__":
    main()
