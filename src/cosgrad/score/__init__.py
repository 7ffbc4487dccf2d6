"""Scoring pairs of vectors in files of any size: `cosgrad score`.

command    from options to exit code: progress, summary
sources    vectors in .npy, Parquet and Arrow files, by rows
columns    vectors in an Arrow column, and which of its rows are bad
job        a job in parts: what is done, and what a resumed run must find unchanged
outputs    the file that the parts become
engines    who computes the parts: this process, or a Dask cluster
"""
