"""What is made of the results: summary, tables, figures, claims, pages, and the comparison of two runs.

matplotlib reads a user's settings when it is imported, before `latents.report.style` could replace them, and
fails where they are broken or name a screen that is not there: here it is told to read none. What it then
says of a folder for its cache that it cannot write is no concern of a reader.
"""

import logging
import os

os.environ |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
logging.getLogger("matplotlib").setLevel(logging.ERROR)
