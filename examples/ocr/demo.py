"""`make demo`: a real model from file to answered request, on this machine, without an AWS account.

Everything is done by the commands that a user types (`optimize`, `coldpress push`, `cdk deploy`); only the
emulator's address makes it stay on this machine. Run again, it reuses what was measured.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import boto3
import onnxruntime
from PIL import Image
from rich.console import Console
from rich.table import Table

from bundle.folder import read
from bundle.manifest import Manifest
from emulator.server import CannotStart, Emulator
from examples.deployment import BIN, ROOT, Deployment, Failed
from examples.ocr.client import Recogniser, json_request
from examples.ocr.lines import draw_text, random_text
from scripts.from_wheel import take

WORK = ROOT / "build" / "demo"
MODEL = WORK / "ch_PP-OCRv4_rec_infer.onnx"
STAGE, NAME, TEXT = "demo", "ocr", "Invoice 20391 paid"
WARM_REQUESTS = 20
LINES = 400
PAGE = WORK / "watch.html"
console = Console(highlight=False)


def main() -> int:
    """Run the whole way and return the exit status."""
    started = time.monotonic()
    WORK.mkdir(parents=True, exist_ok=True)
    step("1", "the model: PP-OCRv4 text recognition, from the package rapidocr-onnxruntime")
    take_model()
    step("2", "optimize: the fastest model that agrees with the original within 0.01")
    pressed = optimize()
    bundle, manifest = Path(pressed["bundle"]), read(Path(pressed["bundle"]))
    step("3", "AWS on this machine: bootstrap, registry, push, endpoint")
    with Emulator(state_dir=WORK / "emulator") as emulator:
        os.environ.update(emulator.environment())
        deployment = deploy(bundle)
        url = deployment.output("EndpointUrl")
        step("4", "a picture of a line of text, sent to the deployed endpoint")
        right, cold, warm = ask(url)
        step("5", "what it came to")
        show(manifest, bundle, cold, warm, time.monotonic() - started)
        step("6", f"is it still right? {LINES} clean lines, and {LINES} of pages that lay upside down")
        noticed = watch(deployment, emulator)
        explain(url, emulator)
    return 0 if right and noticed else 1


def step(number: str, title: str) -> None:
    """One heading."""
    console.print(f"\n[bold]{number}. {title}[/bold]")


@contextmanager
def timed(what: str) -> Iterator[None]:
    """A spinner on a terminal, and one line with the time it took anywhere."""
    started = time.monotonic()
    with console.status(what):
        yield
    console.print(f"   {what}: {time.monotonic() - started:.1f} s")


def take_model() -> None:
    """The trained model, out of its package."""
    with timed(str(MODEL.relative_to(ROOT))):
        take("rapidocr-onnxruntime", f"rapidocr_onnxruntime/models/{MODEL.name}", MODEL)
    (WORK / "characters.txt").write_text("\n".join(characters()), encoding="utf-8")


def optimize() -> dict[str, Any]:
    """Press it, as a user would; what `--json` prints."""
    command = [
        str(BIN / "optimize"),
        str(MODEL),
        "--name",
        NAME,
        "--metric",
        "agreement",
        "--max-drop",
        "0.01",
    ]
    for side in ("calibration", "evaluation"):
        command += [f"--{side}", f"examples.ocr.lines:{side}"]
    command += ["-o", str(WORK / "bundles"), "--json"]
    console.print(f"   {' '.join(command).replace(str(ROOT) + '/', '')}", soft_wrap=True)
    started = time.monotonic()
    output = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, Any] = json.loads(output)
    console.print(f"   bundle {result['digest'][:12]}… in {time.monotonic() - started:.1f} s")
    return result


def deploy(bundle: Path) -> Deployment:
    """Registry first, then the bundle into it, then the endpoint that names its digest."""
    deployment = Deployment(WORK, STAGE, timed)
    deployment.configure(tags={"project": "coldpress", "stage": STAGE})
    deployment.prepare()
    console.print("   " + deployment.push(bundle).splitlines()[0], soft_wrap=True)
    deployment.deploy()
    console.print("   every resource and output of both templates exists")
    return deployment


def ask(url: str) -> tuple[bool, float, float]:
    """Send the picture: was the text right, and the first and the median later answer in milliseconds."""
    picture = draw_text(TEXT, Random(4))
    picture.save(WORK / "line.png")
    (WORK / "request.json").write_bytes(json_request(picture))
    client = Recogniser(url, NAME, characters())
    text, cold = answer(client, picture)
    warm = [answer(client, picture)[1] for _ in range(WARM_REQUESTS)]
    console.print(f"   drawn:    {TEXT}    ({(WORK / 'line.png').relative_to(ROOT)})")
    console.print(f"   answered: {text}")
    return text.strip() == TEXT, cold, statistics.median(warm)


def characters() -> list[str]:
    """The model carries its alphabet in its metadata."""
    session = onnxruntime.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])
    return str(session.get_modelmeta().custom_metadata_map["character"]).splitlines()


def answer(client: Recogniser, picture: Image.Image) -> tuple[str, float]:
    """The text and the milliseconds that it took."""
    started = time.perf_counter()
    return client.read(picture), (time.perf_counter() - started) * 1e3


def show(manifest: Manifest, bundle: Path, cold: float, warm: float, seconds: float) -> None:
    """The small table."""
    before, after, metric = manifest.before, manifest.after, manifest.metric
    table = Table("", "original", "pressed", "")
    for column in table.columns[1:]:
        column.justify = "right"
    ratio = before.latency_ms / after.latency_ms
    table.add_row(
        "latency, 1 thread", f"{before.latency_ms:.1f} ms", f"{after.latency_ms:.1f} ms", f"{ratio:.2f}x"
    )
    share = after.size_bytes / before.size_bytes
    table.add_row(
        "size", f"{before.size_bytes / 1e6:.2f} MB", f"{after.size_bytes / 1e6:.2f} MB", f"{share:.0%}"
    )
    low, high = metric.interval
    drop = f"drop {metric.drop:.4f} [{low:.4f}, {high:.4f}]"
    table.add_row(
        f"{metric.name}, {metric.samples} lines", f"{metric.before:.4f}", f"{metric.after:.4f}", drop
    )
    table.add_row("first answer (cold)", "", f"{cold:.0f} ms", "through API and Lambda emulator")
    table.add_row("next answers (warm)", "", f"{warm:.1f} ms", f"median of {WARM_REQUESTS}")
    console.print(table)
    console.print(f"   everything above took {seconds:.0f} s")
    console.print(f"   report: {(bundle / 'report.html').relative_to(ROOT)}", soft_wrap=True)


def watch(deployment: Deployment, emulator: Emulator) -> bool:
    """Turn the monitor on, and send both kinds of lines: was the second kind noticed, and only that?"""
    # The answers, a score for each of 6,625 characters a step, are more than a record of Firehose takes.
    deployment.change(capture={"rate": 1, "outputs": False}, monitor={"every_minutes": 5})
    deployment.deploy()
    client = Recogniser(deployment.output("EndpointUrl"), NAME, characters())
    clean = look(deployment, emulator, client, "clean", angle=0)
    turned = look(deployment, emulator, client, "turned", angle=180)
    alarm = f"{deployment.stack}-{NAME}-drift"
    (found,) = boto3.client("cloudwatch").describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
    console.print(f"   the alarm {alarm} is in state {found['StateValue']}")
    console.print(f"   the page: {PAGE.relative_to(ROOT)}", soft_wrap=True)
    return clean == 0 and turned == 1 and found["StateValue"] == "ALARM"


def look(deployment: Deployment, emulator: Emulator, client: Recogniser, name: str, angle: int) -> int:
    """Send lines, let time pass, and ask the command: its exit status, which is 1 where it is not right."""
    dice = Random(name)
    pictures = [draw_text(random_text(dice), dice).rotate(angle) for _ in range(LINES)]
    with timed(f"{LINES} {name} lines"), ThreadPoolExecutor(2) as pool:
        list(pool.map(client.read, pictures, [f"{name}-{number}" for number in range(LINES)]))
    with timed("twelve minutes of emulated time, in which they are delivered and looked at"):
        emulator.advance(12 * 60)
    command = [str(BIN / "coldpress"), "watch", deployment.stack, "--page", str(PAGE)]
    done = subprocess.run(command, check=False, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    console.print(f"   coldpress watch {deployment.stack}", soft_wrap=True)
    console.print("".join(f"     {line}\n" for line in done.stdout.splitlines()), end="", soft_wrap=True)
    return done.returncode


def explain(url: str, emulator: Emulator) -> None:
    """How to go on, and how to stop: on a terminal the endpoint stays until Enter or Ctrl-C."""
    key = "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"
    exports = " ".join(
        f"{name}={emulator.environment()[name]}" for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    )
    curl = f'curl --aws-sigv4 aws:amz:us-east-1:execute-api --user "{key}"'
    lines = [
        "the next request, from another shell:",
        f"  export {exports}",
        f"  {curl} {url}/v2/models/{NAME}",
        f"  {curl} -H content-type:application/json \\",
        f"       --data-binary @{(WORK / 'request.json').relative_to(ROOT)} {url}/v2/models/{NAME}/infer",
        "clean up: rm -r build/demo (or make clean, for everything)",
    ]
    for line in lines:
        console.print(f"   {line}", soft_wrap=True, markup=False)
    if not sys.stdin.isatty():
        console.print(
            "   the endpoint stops now, with this command; on a terminal it stays until you press Enter"
        )
        return
    try:
        console.input("   [bold]press Enter (or Ctrl-C) to stop the endpoint[/bold] ")
    except (KeyboardInterrupt, EOFError):
        console.print()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("demo: stopped.")
    except (Failed, CannotStart) as error:
        sys.exit(f"demo: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"demo: `{' '.join(map(str, error.cmd))}` failed with status {error.returncode}.")
