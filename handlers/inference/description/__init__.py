"""What the model says about itself: ``GET /openapi.json`` and ``GET /docs``.

Imported only when one of them is asked for: no cold start pays for it.

document.py     the OpenAPI document: paths, operations, answers
schemas.py      the model's tensors and the protocols' bodies as JSON Schema
examples.py     requests that the model answers
page.py         the page; page_parts.py is its style and script
"""
