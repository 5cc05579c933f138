"""The configuration: one module a section, composed in `config`; nothing here runs anything."""
