"""Fault trials: runs of the workflow that are disturbed, compared with an undisturbed one."""
