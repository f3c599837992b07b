"""Softmax attention throughout: keys and values of every token, of a window of them, or one latent vector per token."""

from collections.abc import Iterator
from typing import Any

from l2m.errors import InputError
from l2m.states.history_state.config import Config, head_dim, key_value_heads, key_value_numbers
from l2m.states.history_state.families.layers import every, layered, transformers_family
from l2m.states.history_state.state import Memory, attention

# What files leave out, meaning "none", "as many as heads" or "width / heads". Where a class has numbers of its own
# for a field, it is not here: then the class completes the file.
_PLAIN_FIELDS: dict[str, Any] = {"head_dim": None, "layer_types": None, "sliding_window": None}
_HEADS: dict[str, Any] = {**_PLAIN_FIELDS, "num_key_value_heads": None}


def transformer(c: Config) -> Iterator[Memory]:
    """Softmax attention: keys and values of every key-value head, global, windowed or in chunks layer by layer."""
    return layered(c)


def _qwen(c: Config) -> list[str]:
    windowed = c.use_sliding_window and c.get("sliding_window") is not None
    first = c.max_window_layers if windowed else c.num_hidden_layers
    return ["full_attention" if i < first else "sliding_attention" for i in range(c.num_hidden_layers)]


_QWEN = {**_PLAIN_FIELDS, "use_sliding_window": False, "sliding_window": 4096, "max_window_layers": 28}
_PATTERN: dict[str, Any] = {**_PLAIN_FIELDS, "sliding_window": 4096, "layer_types": every("sliding_window_pattern")}

# Null says "no window" where the window itself decides which layers have one.
_NO_WINDOW = ("sliding_window",)

transformers_family(
    *("cohere", "gpt2", "gpt_neox", "gptj", "llama", "olmo", "olmo2", "opt", "phi", "phi3"), defaults=_HEADS
)(transformer)
transformers_family("mixtral", "starcoder2", defaults=_PLAIN_FIELDS)(transformer)
transformers_family("gemma", defaults={**_PLAIN_FIELDS, "head_dim": 256})(transformer)
transformers_family("mistral", defaults={**_PLAIN_FIELDS, "sliding_window": 4096}, nulls=_NO_WINDOW)(transformer)
transformers_family("qwen2", defaults={**_QWEN, "layer_types": _qwen}, nulls=_NO_WINDOW)(transformer)
transformers_family("qwen3", defaults={**_QWEN, "layer_types": _qwen, "head_dim": 128}, nulls=_NO_WINDOW)(transformer)
transformers_family("gemma2", defaults={**_PATTERN, "sliding_window_pattern": 2, "head_dim": 256})(transformer)
transformers_family("gemma3_text", defaults={**_PATTERN, "sliding_window_pattern": 6, "head_dim": 256})(transformer)
transformers_family("cohere2", defaults={**_HEADS, **_PATTERN, "sliding_window_pattern": 4})(transformer)
transformers_family("olmo3", defaults={**_HEADS, **_PATTERN, "layer_types": every(4)})(transformer)
transformers_family("gpt_oss", defaults={**_PATTERN, "sliding_window": 128, "layer_types": every(2), "head_dim": 64})(
    transformer
)

# Read as their class completes them.
_PLAIN = """
    afmoe apertus apertus1p5_text arcee aria_text beam biogpt bitnet bloom codegen cohere2_moe cohere_compass_text
    ctrl cwm dbrx diffllama doge dots1 emu3_text_model ernie4_5 ernie4_5_moe exaone exaone4 exaone_moe flex_olmo
    flint fuyu gemma3n_text gemma4_text gemma4_unified_text git glm glm4 glm4_moe got_ocr2 gpt-sw3 gpt_bigcode
    gpt_neo gpt_neox_japanese granite granite_swa granitemoe granitemoe_swa granitemoeshared helium hunyuan_v1_dense
    hunyuan_v1_moe hy_v3 hyperclovax internlm3 iquestcoder jais2 jetmoe kolibri1 laguna llama4_text mellum
    minimax_m2 ministral ministral3 modernbert-decoder moshi mpt nanochat nemotron olmoe persimmon phi4_multimodal
    phimoe qwen2_moe qwen3_moe sarvam_moe seed_oss smollm3 solar_open stablelm vaultgemma xglm
"""
# The language models within models that also see or hear.
_TEXT_PARTS = """
    chameleon cosmos3_edge_text ernie4_5_vl_moe_text glm4v_moe_text glm4v_text glm_ocr_text granite_docling_text
    hunyuan_vl_text idefics kosmos_2_5_text_model kosmos_2_text_model molmo2_text paddleocr_vl_text qwen2_5_omni_text
    qwen2_5_vl_text qwen2_vl_text qwen3_omni_moe_text qwen3_vl_moe_text qwen3_vl_text
"""
ENCODERS = (
    *(
        "bert",
        "bert-generation",
        "big_bird",
        "camembert",
        "data2vec-text",
        "electra",
        "ernie",
        "megatron-bert",
        "rembert",
    ),
    *("roberta", "roberta-prelayernorm", "roc_bert", "roformer", "xlm-roberta", "xlm-roberta-xl", "xmod"),
)
"""Encoders that predict the next token only where their config says is_decoder."""
transformers_family(*_PLAIN.split(), *_TEXT_PARTS.split(), *ENCODERS)(transformer)


@transformers_family("mllama_text_model")
def mllama(c: Config) -> Iterator[Memory]:
    """Attention to the text; layers that attend to an image keep nothing of the text."""
    for layer in range(c.num_hidden_layers):
        if layer not in c.cross_attention_layers:
            yield attention(layer, key_value_numbers(c))


@transformers_family("mimo_v2_flash")
def mimo(c: Config) -> Iterator[Memory]:
    """Attention whose values are narrower than its keys, with twice the key-value heads where it is windowed."""
    numbers = key_value_heads(c) * (c.head_dim + c.v_head_dim)
    for layer, kind in enumerate(c.layer_types):
        if kind == "sliding_attention":
            yield attention(layer, 2 * numbers, window=c.sliding_window)
        elif kind == "full_attention":
            yield attention(layer, numbers)
        else:
            raise InputError(f"config: layer_types[{layer}] {kind!r}; expected full_attention or sliding_attention")


@transformers_family("falcon")
def falcon(c: Config) -> Iterator[Memory]:
    """Multi-query attention, or grouped where `new_decoder_architecture`: then each group is stored once per head."""
    for layer in range(c.num_hidden_layers):
        width = 2 * head_dim(c)
        if c.new_decoder_architecture:
            heads = key_value_heads(c)
            yield attention(layer, c.num_attention_heads * width, least_numbers=heads * width)
        else:
            yield attention(layer, (1 if c.multi_query else c.num_attention_heads) * width)


_DECODERS = "bart bigbird_pegasus blenderbot blenderbot-small marian mbart mvp pegasus plbart prophetnet trocr whisper"


@transformers_family(*_DECODERS.split(), defaults={})
def decoder(c: Config) -> Iterator[Memory]:
    """The decoder of an encoder-decoder, run alone: every head's key and value (no encoder, no cross-attention)."""
    layers = c.get("decoder_layers", None)
    for layer in range(c.num_decoder_layers if layers is None else layers):
        yield attention(layer, 2 * c.hidden_size)


# --- Multi-head latent attention --------------------------------------------------------------------------------------


def latent_numbers(c: Config) -> int:
    """Multi-head latent attention caches one latent vector and one rotary key per token, for all heads together."""
    return int(c.kv_lora_rank + c.qk_rope_head_dim)


@transformers_family("deepseek_v2", "deepseek_v3", defaults={"kv_lora_rank": 512, "qk_rope_head_dim": 64})
@transformers_family("axk1", "glm4_moe_lite", "minicpm3", "mistral4", "youtu", "sarvam_mla")
def latent_attention(c: Config) -> Iterator[Memory]:
    """Multi-head latent attention (DeepSeek-AI 2024, arXiv 2405.04434)."""
    for layer in range(c.num_hidden_layers):
        yield attention(layer, latent_numbers(c))


@transformers_family("longcat_flash")
def longcat(c: Config) -> Iterator[Memory]:
    """Two latent attentions per layer."""
    for layer in range(c.num_layers):
        yield attention(layer, 2 * latent_numbers(c))


@transformers_family("deepseek_v32", "axk2", "glm_moe_dsa", "hy_v4")
def indexed_attention(c: Config) -> Iterator[Memory]:
    """Latent attention with a sparse index: one more key per token where a layer has an indexer of its own."""
    indexers = c.get("indexer_types", ["full"] * c.num_hidden_layers)
    for layer, indexer in enumerate(indexers):
        if indexer not in ("full", "shared"):
            raise InputError(f"config: indexer_types[{layer}] {indexer!r}; expected full or shared")
        yield attention(layer, latent_numbers(c) + (c.index_head_dim if indexer == "full" else 0))
