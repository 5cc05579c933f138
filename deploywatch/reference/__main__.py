"""Writes every page of reference into docs/; run it in a checkout: python -m deploywatch.reference."""

from deploywatch.reference import pages

if __name__ == "__main__":
    for path, text in pages.written().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
