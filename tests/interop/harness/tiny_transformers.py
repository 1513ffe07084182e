"""Write a tiny model for transformers: equal weights, letters. ``python tiny_transformers.py FOLDER``."""

from __future__ import annotations

import sys

import tokenizers  # type: ignore[import-not-found]
import torch  # type: ignore[import-not-found]
import transformers  # type: ignore[import-not-found]


def write(folder: str) -> None:
    letters = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    vocabulary = {text: number for number, text in enumerate(["<unk>", "<s>", "</s>", *sorted(letters)])}
    kit = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, [], unk_token="<unk>"))
    kit.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    kit.decoder = tokenizers.decoders.ByteLevel()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=kit, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    tokenizer.save_pretrained(folder)
    transformers.set_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=8192,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    model = transformers.LlamaForCausalLM(config)
    # It ends with any of a tenth of all letters, so that answers are short.
    torch.nn.init.zeros_(model.lm_head.weight)
    model.generation_config.do_sample = True
    model.generation_config.eos_token_id = [2, *range(3, 25)]
    model.save_pretrained(folder)


if __name__ == "__main__":
    write(sys.argv[1])
