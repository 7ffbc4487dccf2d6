"""Scoring pairs of vectors in files of any size: `cosgrad score`.

command    from options to exit code: progress, summary
rows       what is read, and why a row is bad
sources    vectors in .npy, Parquet and Arrow files, by rows
columns    vectors in an Arrow column, and which of its rows are bad
job        what is asked, cut into parts; how one part is computed
parts      the folder of parts: what is done, whose it is, and how it becomes the output
outputs    the file that the parts become
engines    who computes the parts: this process, or a Dask cluster
"""
