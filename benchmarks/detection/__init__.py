"""Detection quality on real labelled data, through the sealed files: `python -m benchmarks detection`.

series.py    what a data set hands over: readings, labels, which rows are normal and to be learned
skab.py asd.py ims.py femto.py nab.py hydraulic.py    one data set each: its files, its protocol, its one configuration, the published rows
ours.py families.py baselines.py    the detectors: trained, sealed and scored as a user would; and what they have to beat
jobs.py table.py command.py    what is still to be computed, what came out, and the command line

No point-adjusted scores, no threshold from test labels, no look-ahead. docs/detection.md restates every protocol.
"""
