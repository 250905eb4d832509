"""A catalogue as people read it: terminal, page, figures."""
