"""``GET /docs``: one page that shows the model and sends it real requests; it loads nothing from anywhere."""

from __future__ import annotations

from hashlib import sha256
from html import escape

import pybase64

from handlers.inference.dataplane import show_shape
from handlers.inference.description.examples import MAX_ELEMENTS, example_of
from handlers.inference.description.page_parts import SCRIPT, STYLE
from handlers.inference.messages import Response, to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from bundle.served import TensorSpec
    from handlers.inference.dataplane import Model

_SEND = '<button>Send</button><output></output>\n<pre class="answer" hidden></pre>'
# A command line that can still be read; longer bodies are a file's.
_MAX_INLINE = 200


def docs(model: Model, *, has_transform: bool) -> Response:
    """``GET /docs``; ``has_transform`` says whether the user's own route is there."""
    headers = {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": (
            f"default-src 'none'; style-src '{_digest(STYLE)}'; script-src '{_digest(SCRIPT)}'; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "x-content-type-options": "nosniff",
    }
    return Response(200, headers, _page(model, has_transform=has_transform).encode(errors="replace"))


def _page(model: Model, *, has_transform: bool) -> str:
    name, example = escape(model.name), example_of(model)
    tfserving, oip = (example.tfserving, example.oip) if example else (None, None)
    golden = "The requests hold the bundle's golden sample, which the model was checked with."
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{name}</h1>
<p class="about">version {escape(model.version)} · bundle {escape(model.manifest.digest)} ·
<a href="openapi.json">openapi.json</a></p>
<h2>Inputs</h2>
{_table(model.inputs.values())}
<h2>Outputs</h2>
{_table(model.outputs.values())}
{f'<p class="about">{golden}</p>' if example and example.is_golden else ""}
<h2>TensorFlow Serving</h2>
{_form(f"/v1/models/{model.name}:predict", tfserving)}
<h2>Open Inference Protocol</h2>
{_form(f"/v2/models/{model.name}/infer", oip)}
{_transform(f"/v1/models/{model.name}:transform") if has_transform else ""}
</main>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _table(specs: Iterable[TensorSpec]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(spec.name)}</code></td><td>{spec.dtype}</td>"
        f"<td><code>{escape(show_shape(spec.shape))}</code></td></tr>"
        for spec in specs
    )
    return f'<div class="table"><table><tr><th>name</th><th>dtype</th><th>shape</th></tr>{rows}</table></div>'


def _form(path: str, body: object) -> str:
    """A form that posts to ``path``, with the example filled in, and the same request by curl."""
    text = "" if body is None else to_json(body)
    hint = f"The example would have more than {MAX_ELEMENTS} values: paste a request."
    is_short = text and len(text) <= _MAX_INLINE
    quoted = text.replace("'", "'\\''")
    data = f"'{quoted}'" if is_short else "@request.json"
    return f"""<form data-path="{escape(path)}">
<pre class="curl">curl <span class="url">$URL</span>{escape(path)} -d {escape(data)}</pre>
{"" if is_short else f'<p class="about">request.json is the text below{_size(text)}.</p>'}
<textarea spellcheck="false" aria-label="request" placeholder="{hint}">{escape(text)}</textarea>
{_SEND}
</form>"""


def _size(text: str) -> str:
    return f", {len(text) / 1000:,.1f} KB" if text else ""


def _transform(path: str) -> str:
    """A form that posts a file to the user's own code, of which nothing else is known."""
    return f"""<h2>Transform</h2>
<form data-path="{escape(path)}">
<pre class="curl">curl <span class="url">$URL</span>{escape(path)} --data-binary @FILE</pre>
<p class="about">What it takes and gives is known to the code that is behind it.</p>
<input type="file" aria-label="request" required>
{_SEND}
</form>"""


def _digest(text: str) -> str:
    """What a Content-Security-Policy calls an inline style or script."""
    return f"sha256-{pybase64.b64encode(sha256(text.encode()).digest()).decode()}"
