"""Pictures in, probabilities out: one way for every runtime, a file each."""
