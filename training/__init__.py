"""How the embedded weights were made, and how to make your own."""
