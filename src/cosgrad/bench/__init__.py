"""Speed, memory and accuracy of the installed cosine similarities, by one protocol."""
