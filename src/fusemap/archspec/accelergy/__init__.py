"""Accelergy's energy and area reference tables (ERT, ART; format 0.4), read as a component table and written.

`read` makes `Tables` of files, `write` files of `Tables`, `table` a component table of them, and `machine` the
tables of a machine. The formats are those of Accelergy (github.com/Accelergy-Project/accelergy, commit 6911d15:
ERT_generator.py, ART_generator.py) and what Timeloop reads of them (github.com/NVlabs/timeloop, commit 4cf6d4c:
src/model/topology.cpp, ParseAccelergyERT).
"""
