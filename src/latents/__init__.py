"""Latent Spaces, Three Ways: what is in a 128-number code of an image?"""

import os

# read when SciPy is imported: with it scikit-learn takes tensors on a GPU
os.environ.setdefault("SCIPY_ARRAY_API", "1")
