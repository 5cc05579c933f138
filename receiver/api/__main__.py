"""Prints the OpenAPI document: `python -m deploywatch.receiver.api > docs/openapi.json`."""

import sys

from deploywatch.receiver.api import described

sys.stdout.write(described())
