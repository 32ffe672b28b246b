"""A second version beside the one that serves: it answers some of its requests again, for nobody to see.

app.py      Lambda's entry: one request and its answer in, one line of metrics out
compare.py  how far two answers to one request agree
answers.py  an answer's body as tensors, whatever protocol it is in
"""
