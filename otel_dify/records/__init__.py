"""Records: what an operation has come to when it ended; from then on nothing changes it."""
