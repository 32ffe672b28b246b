"""Is it still right: a scheduled function that reads captured requests and labels, and says so.

app.py       Lambda's entry: one run
run.py       one run of one version: what is new is looked at, saved, told
look.py      requests and labels into the state: here, and in `coldpress serve`
watched.py   the state of one version, one object of S3 with its cursors
cursor.py    which objects were read, however late, twice or out of order they come
store.py     what lies in S3, and saving it by compare-and-swap
pressed.py   the bundle that is watched: manifest and baseline
truth.py     what was predicted, and whether a label says that it was right
replay.py    the original model, and whether the pressed one agrees with it
history.py   evidence and shares over time, in bounded memory
examples.py  the requests that show best what moved, with small pictures
status.py    status.json: what a run found, for people and machines
page.py      status.html: the same, to look at; charts.py and pictures.py draw
metrics.py   the lines by which CloudWatch counts

It runs in the endpoint's image by AWS's runtime client. numpy and msgspec are in a folder of their own there,
which the endpoint never looks into.
"""
