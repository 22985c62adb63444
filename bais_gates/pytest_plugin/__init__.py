"""How a pytest run becomes results: hooks and options, the observer, the recorder, the evidence fixture."""
