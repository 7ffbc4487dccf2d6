"""Scoring pairs of vectors in files of any size: `cosgrad score`.

command    from options to exit code: progress, summary
rows       arrays of rows, and the reasons why a row is bad
places     PATH and PATH:COLUMN, and the messages for folders, globs, URLs and devices
sources    vectors in .npy, Parquet and Arrow files, by rows
columns    vectors in an Arrow column, the bad ones, and the messages for other types
npy_file, parquet_file, arrow_file    headers of files, checked against their sizes
lengths    the length of the vectors, where a column does not prescribe it
job        what is asked, cut into parts; how one part is computed
parts      the folder of parts: what is done, whose it is, and how it becomes the output
outputs    the file that the parts become
engines    computation of the parts: in this process, or on a Dask cluster
cluster    the connection to a Dask cluster, or a cluster of local processes
watch      why no part is done, and the limit of waiting
patience, signals    calls that may never return; SIGINT and SIGTERM
mapped     rows of uncompressed files, without keeping their pages in memory
failures   errors that name the file, and whether it was read or written
"""
