"""What the API answers, as typed dictionaries: mypy holds handlers to them, the OpenAPI document is made of them."""
