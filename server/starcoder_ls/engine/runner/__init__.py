"""Forward passes of the model: CPU, compiled CPU, padded batches, and the tensors around them."""
