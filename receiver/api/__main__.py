"""Prints the OpenAPI document: `python -m receiver.api > docs/openapi.json`."""

import sys

from receiver.api import described

sys.stdout.write(described())
