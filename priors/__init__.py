"""What a frozen vision-language model knows about the state of a picture."""
