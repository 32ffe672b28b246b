"""The model behind HTTP in Lambda: from an event, through a protocol, to the model and back.

app.py          Lambda's entry: events in, events out, one metrics line each
events/         API Gateway v2 and v1, function URLs, ALB: event <-> Request and Response
service.py      the transport-free core: a Request in, a Response out, never an exception
routes.py       the route table
protocols/      HTTP bodies of TensorFlow Serving and of the Open Inference Protocol <-> tensors
tensors.py      JSON values <-> arrays, exactly or not at all
dataplane.py    validated tensors through the model; knows no HTTP
session.py      the ONNX Runtime session
loading.py      from the environment to a model: verified bytes or a sentence
fetch/          a signed, retried, verified GET from S3
"""
