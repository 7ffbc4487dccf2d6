"""Scoring pairs of vectors in files of any size: `cosgrad score`.

command    the command: options, progress, summary, exit code
rows       arrays of rows, and the reasons why a row is bad
places     PATH and PATH:COLUMN, and the messages for folders, globs, URLs and devices
sources    reading of rows of vectors from .npy, Parquet and Arrow files
columns    vectors in an Arrow column, the bad rows, and the messages for other types
npy_file, parquet_file, arrow_file    headers of files, checked against their sizes
lengths    the length of the vectors, if a column does not prescribe it
job        the job: its options, its division into parts, and the computation of one part
parts      the folder of parts: its lock, the finished parts, and the output written from them
outputs    writing of the output file
engines    computation of the parts, in this process or on a Dask cluster
cluster    the connection to a Dask cluster, or a cluster of local processes
watch      messages that explain why no part is finished, and the time limit
patience, signals    calls that may never return; SIGINT and SIGTERM
mapped     rows of uncompressed files, without keeping their pages in memory
failures   errors that name the file, and whether it was read or written
"""
