"""The model behind HTTP in Lambda: from an event, through a protocol, to the model and back.

bootstrap.py    the image's process: Python's path, then runtime.py
runtime.py      the loop that asks Lambda for events and answers them; runtime_api.py are its calls
app.py          the same function for AWS's runtime client, awslambdaric
function.py     the function that both run: an event in, a reply out, one line of metrics
events/         API Gateway v2 and v1, function URLs, ALB: event <-> Request and Response
deadline.py     when a request is given up, and who looks
service.py      the transport-free core: a Request in, a Response out, never an exception
routes.py       the route table
protocols/      HTTP bodies of TensorFlow Serving and of the Open Inference Protocol <-> tensors
description/    /openapi.json and /docs
documents.py    JSON documents, whose long lists of numbers stay text until their dtype is known
reading.py      JSON values to tensors, exactly or not at all; writing.py tensors to JSON
native/         what both do with long lists, in C
transform.py    the user's own code: a request to tensors, tensors to a response
dataplane.py    validated tensors through the model; knows no HTTP
rows.py         many rows in pieces, where that is quicker
session.py      the model's file, or its bytes, opened as they should be
ort.py          ONNX Runtime's C API: sessions, tensors in and out
tensor.py       a tensor as bytes
loading.py      from the environment to a model: verified bytes or a sentence
uploads.py      bodies that are too large for Lambda, by way of S3
fetch/          a signed, retried, verified GET from S3
"""
