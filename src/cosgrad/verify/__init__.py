"""Hold a cosine similarity, this package's or anybody's, against an oracle, and say what is wrong with it."""
