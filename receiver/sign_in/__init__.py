"""Who has signed in to the console: sessions in the store, the pages that begin and end them, links for screens."""
