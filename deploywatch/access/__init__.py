"""Who may do what: credentials and their scopes, a proxy's word, and wrong guesses counted."""
