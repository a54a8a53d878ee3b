"""Models in other formats, and the proof that each of them answers as the model does."""
