"""One pytest session on rigs: what runs where, in what order, and what is written down."""
