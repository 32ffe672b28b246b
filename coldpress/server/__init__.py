"""One machine's server: worker processes, each an event loop over the transport-free service.

supervisor.py   starts the workers, replaces those that die, ends them
worker.py       one process: accepts its share of the connections and answers them
http1.py        HTTP/1.1 on one connection: bytes <-> Request and Response
batching.py     rows of requests that are there at the same time run as one
batch_size.py   measures how many rows should, and that their answers do not change by it
monitor.py      the process that watches: is it still right
reporter.py     the worker's end of that
frames.py       what goes between the two
counters.py     what /metrics shows, in memory that the workers share
"""
