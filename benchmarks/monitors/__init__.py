"""The streams of `make bench-monitor`, and the other tools, each in a virtual environment of its own.

A tool's script reads a folder of streams and writes when it raised an alarm (stream.py has the format).
"""

PACKAGES = {
    "monitor-data": ("scikit-learn==1.9.1", "plotnine==0.15.9", "django==5.2.19"),
    # Evidently fails with a newer pandas, and NannyML imports statsmodels without asking for it.
    "evidently": ("evidently==0.7.23", "pandas==2.3.3"),
    "alibi": ("alibi-detect==0.13.0",),
    "nannyml": ("nannyml==0.13.1", "statsmodels==0.14.6"),
    "river": ("river==0.26.1",),
}
