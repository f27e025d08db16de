"""llama.cpp's speed by llama-cpp-python, 2 threads, greedy. usage: peer_llama.py MODEL.gguf PROMPT_TOKENS NEW_TOKENS

Prints one JSON object: tokens/s of `prompt` and `decode`."""
import json
import sys
import time

from llama_cpp import Llama

model, prompt, new = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
llama = Llama(model, n_ctx=2048, n_batch=512, n_threads=2, n_threads_batch=2, verbose=False)
ids = llama.tokenize(b"The keeper of the lighthouse found a message in a bottle. ", add_bos=False)
ids = (ids * (prompt // len(ids) + 1))[:prompt]
llama.eval(ids[:8])  # the first call allocates
llama.reset()
began = time.monotonic()
llama.eval(ids)
prompt_seconds = time.monotonic() - began
began = time.monotonic()
for _ in range(new):
    llama.eval([llama.sample(temp=0.0)])
print(json.dumps({"prompt": prompt / prompt_seconds, "decode": new / (time.monotonic() - began)}))
