"""Latent Spaces, Three Ways: what is in a 128-number code of an image?"""
