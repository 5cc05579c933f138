"""Email over SMTP, with connections that are kept."""
