"""The benchmark of this project's training loop, its workflow and their growth."""
