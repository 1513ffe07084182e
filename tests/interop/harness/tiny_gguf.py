"""Write a tiny model for llama.cpp: random weights, a vocabulary of letters. ``python tiny_gguf.py FILE``."""

from __future__ import annotations

import sys

import gguf  # type: ignore[import-not-found]
import numpy as np  # type: ignore[import-not-found,unused-ignore]

WIDTH, HEADS, INNER, CONTEXT = 64, 2, 128, 8192
TOKENS = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
KINDS = [gguf.TokenType.UNKNOWN, *[gguf.TokenType.CONTROL] * 2, *[gguf.TokenType.BYTE] * 256]
# A real vocabulary has pieces of text besides its bytes.
TOKENS += [chr(letter) for letter in range(33, 127)] + ["▁"]
KINDS += [gguf.TokenType.NORMAL] * 95


def write(path: str) -> None:
    out = gguf.GGUFWriter(path, "llama")
    out.add_name("tiny")
    out.add_context_length(CONTEXT)
    out.add_embedding_length(WIDTH)
    out.add_block_count(1)
    out.add_feed_forward_length(INNER)
    out.add_head_count(HEADS)
    out.add_head_count_kv(HEADS)
    out.add_rope_dimension_count(WIDTH // HEADS)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_vocab_size(len(TOKENS))
    out.add_file_type(gguf.LlamaFileType.ALL_F32)
    out.add_tokenizer_model("llama")
    out.add_token_list(TOKENS)
    out.add_token_scores([0.0] * len(TOKENS))
    out.add_token_types(KINDS)
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_unk_token_id(0)
    out.add_chat_template("{% for m in messages %}{{ m['content'] }}\n{% endfor %}")
    random = np.random.default_rng(1)
    shapes = {"token_embd.weight": (len(TOKENS), WIDTH), "output.weight": (len(TOKENS), WIDTH)}
    shapes |= {f"blk.0.attn_{one}.weight": (WIDTH, WIDTH) for one in ("q", "k", "v", "output")}
    shapes |= {f"blk.0.ffn_{one}.weight": (INNER, WIDTH) for one in ("gate", "up")}
    shapes["blk.0.ffn_down.weight"] = (WIDTH, INNER)
    weights = {name: random.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    # The first number of every vector is large, and speaks against all tokens but letters: what is said is text.
    weights["token_embd.weight"][:, 0] = 50
    weights["output.weight"][:, 0] = np.where(np.array(KINDS) == gguf.TokenType.NORMAL, 0, -10)
    for name, values in weights.items():
        out.add_tensor(name, values)
    for name in ("blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"):
        out.add_tensor(name, np.ones(WIDTH, np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


if __name__ == "__main__":
    write(sys.argv[1])
