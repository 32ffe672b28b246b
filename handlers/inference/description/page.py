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
    from handlers.inference.messages import Request

# A command line that can still be read; longer bodies are a file's.
_MAX_INLINE = 200


def docs(model: Model, _request: Request) -> Response:
    """``GET /docs``."""
    headers = {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": (
            f"default-src 'none'; style-src '{_digest(STYLE)}'; script-src '{_digest(SCRIPT)}'; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "x-content-type-options": "nosniff",
    }
    return Response(200, headers, _page(model).encode(errors="replace"))


def _page(model: Model) -> str:
    name, example = escape(model.name), example_of(model)
    tfserving, oip = (example.tfserving, example.oip) if example else (None, None)
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
<h2>TensorFlow Serving</h2>
{_form(f"/v1/models/{model.name}:predict", tfserving)}
<h2>Open Inference Protocol</h2>
{_form(f"/v2/models/{model.name}/infer", oip)}
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
{"" if is_short else '<p class="about">request.json is the text below.</p>'}
<textarea spellcheck="false" aria-label="request" placeholder="{hint}">{escape(text)}</textarea>
<button>Send</button><output></output>
<pre class="answer" hidden></pre>
</form>"""


def _digest(text: str) -> str:
    """What a Content-Security-Policy calls an inline style or script."""
    return f"sha256-{pybase64.b64encode(sha256(text.encode()).digest()).decode()}"
