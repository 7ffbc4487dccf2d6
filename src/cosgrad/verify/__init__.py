"""`cosgrad verify`: compares cosine similarity functions with an exact test oracle and explains errors."""
