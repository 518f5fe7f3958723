"""What the model scripts share: reading tables, statistics, and the result file.

Knows: prediction logs, reference samples, model lists and query statistics in
CSV or SQLite, the arithmetic that judges them, and the result contract of
upkeep (scripts/README.md).
Refuses: to guess. A cell that does not parse, a column that is missing, or an
input without rows ends the script with an error; a sample that is too small to
judge becomes a finding, never a pass. Nothing here trains, loads or runs a model.

Python 3.9 or newer, standard library only.
"""
