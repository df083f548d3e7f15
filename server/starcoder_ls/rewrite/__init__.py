"""Code actions: an instruction and some lines of a file become an answer in words or the smallest edit of the file."""
