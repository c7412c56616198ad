"""What a part of silicon does: recorded without harming it, compared with others, made into a twin."""
