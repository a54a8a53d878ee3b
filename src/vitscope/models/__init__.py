"""Vision Transformers by name, their weights, and the bundle that everything else passes around."""
