"""One song's explanation as a page: to look at, to listen to, and to check."""
