"""`cosgrad bench`: measures speed, memory and accuracy of installed cosine similarities by one protocol."""
