"""A second version beside the one that serves: it answers some of its requests again, for nobody to see.

app.py      Lambda's entry: one request and its answer in, one line of metrics out
second.py   what happens in between
compare.py  how far two answers to one request agree
answers.py  an answer's body as tensors, whatever protocol it is in

It runs in the endpoint's image by AWS's runtime client: nobody waits for its start.
"""
