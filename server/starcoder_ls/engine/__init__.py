"""The model in this process: the only folder, besides learning, that imports torch, transformers and peft."""
