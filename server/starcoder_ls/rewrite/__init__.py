"""Actions on code: an instruction and a piece of a file in, text to read or the smallest edit out."""
