"""Formulas for the causal models of `transformers`: what each layer keeps in the cache its own code fills.

The matrix test builds each of these models on the meta device, runs it and compares (docs/memory-matrix.md).
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from l2m.errors import InputError
from l2m.states.history_state.registry import Config, family, head_dim, key_value_heads, key_value_numbers
from l2m.states.history_state.state import Memory, attention, convolution, recurrent

transformers_family = partial(family, source="transformers 5, the cache of the model's class")

FLOAT32 = 32.0
"""Recurrent states that are kept in float32 whatever the model's precision."""

# Layer types, as `transformers` names them (cache_utils.DYNAMIC_LAYER_TYPE_MAPPING), and older names on the hub.
FULL = ("full_attention", "attention", "indexed_attention")
WINDOWED = ("sliding_attention", "chunked_attention")
LINEAR = ("linear_attention", "mamba", "recurrent", "conv")
BOTH = ("hybrid", "hybrid_sliding")
NOTHING = ("mlp", "moe", "dummy")

LayerNumbers = Callable[[Config], int]
LayerMemories = Callable[[Config, int], Iterator[Memory]]


def layered(
    c: Config, cached: LayerNumbers = key_value_numbers, linear: LayerMemories | None = None
) -> Iterator[Memory]:
    """Memories as `layer_types` says: `cached` numbers per token where there is attention, `linear` elsewhere."""
    types = c.get("layer_types")
    if types is None:
        windowed = "sliding_attention" if c.get("sliding_window") is not None else "full_attention"
        types = [windowed] * c.num_hidden_layers
    sharing = c.get("kv_sharing_modes", [None] * len(types))
    for layer, (kind, shared) in enumerate(zip(types, sharing, strict=False)):
        own = c.of_layer(layer)
        if kind in NOTHING or shared == "reuse":
            continue
        if kind in (*LINEAR, *BOTH) and linear is not None:
            yield from linear(own, layer)
        if kind in (*FULL, "hybrid"):
            yield attention(layer, cached(own))
        elif kind in (*WINDOWED, "hybrid_sliding"):
            window = own.attention_chunk_size if kind == "chunked_attention" else own.sliding_window
            yield attention(layer, cached(own), window=window)
        elif kind not in (*LINEAR, "hybrid") or linear is None:
            raise InputError(f"config: layer_types[{layer}] {kind!r}; expected a kind of layer this family has")


def every(period: int | str, *, offset: int = -1, first: str = "sliding_attention") -> Callable[[Config], list[str]]:
    """Layer types with global attention at one place of every `period` layers, `first` elsewhere."""

    def types(c: Config) -> list[str]:
        step = period if isinstance(period, int) else int(getattr(c, period))
        return ["full_attention" if i % step == offset % step else first for i in range(c.num_hidden_layers)]

    return types


# --- Softmax attention ------------------------------------------------------------------------------------------------

# What files leave out, meaning "none", "as many as heads" or "width / heads". Where a class has numbers of its own
# for a field, it is not here: then the class completes the file.
_PLAIN_FIELDS: dict[str, Any] = {"head_dim": None, "layer_types": None, "sliding_window": None}
_HEADS: dict[str, Any] = {**_PLAIN_FIELDS, "num_key_value_heads": None}


def transformer(c: Config) -> Iterator[Memory]:
    """Softmax attention: keys and values of every key-value head, global, windowed or in chunks layer by layer."""
    return layered(c)


def _qwen(c: Config) -> list[str]:
    first = c.max_window_layers if c.use_sliding_window else c.num_hidden_layers
    return ["full_attention" if i < first else "sliding_attention" for i in range(c.num_hidden_layers)]


_QWEN = {**_PLAIN_FIELDS, "use_sliding_window": False, "sliding_window": 4096, "max_window_layers": 28}
_PATTERN: dict[str, Any] = {**_PLAIN_FIELDS, "sliding_window": 4096, "layer_types": every("sliding_window_pattern")}

transformers_family(
    *("cohere", "gpt2", "gpt_neox", "gptj", "llama", "olmo", "olmo2", "opt", "phi", "phi3"), defaults=_HEADS
)(transformer)
transformers_family("mixtral", "starcoder2", defaults=_PLAIN_FIELDS)(transformer)
transformers_family("gemma", defaults={**_PLAIN_FIELDS, "head_dim": 256})(transformer)
transformers_family("mistral", defaults={**_PLAIN_FIELDS, "sliding_window": 4096})(transformer)
transformers_family("qwen2", defaults={**_QWEN, "layer_types": _qwen})(transformer)
transformers_family("qwen3", defaults={**_QWEN, "layer_types": _qwen, "head_dim": 128})(transformer)
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
ENCODERS = """
    bert bert-generation big_bird camembert data2vec-text electra ernie megatron-bert rembert roberta
    roberta-prelayernorm roc_bert roformer xlm-roberta xlm-roberta-xl xmod
"""
"""Encoders that predict the next token only where their config says is_decoder."""
transformers_family(*_PLAIN.split(), *ENCODERS.split())(transformer)


@transformers_family("mimo_v2_flash")
def mimo(c: Config) -> Iterator[Memory]:
    """Attention whose values are narrower than its keys, with twice the key-value heads where it is windowed."""
    numbers = key_value_heads(c) * (c.head_dim + c.v_head_dim)
    for layer, kind in enumerate(c.layer_types):
        windowed = kind == "sliding_attention"
        yield attention(layer, numbers * (1 + windowed), window=c.sliding_window if windowed else None)


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
    for layer in range(c.get("decoder_layers", 0) or c.num_decoder_layers):
        yield attention(layer, 2 * c.hidden_size)


# --- Multi-head latent attention --------------------------------------------------------------------------------------


def latent_numbers(c: Config) -> int:
    """Multi-head latent attention caches one latent vector and one rotary key per token, for all heads together."""
    return int(c.kv_lora_rank + c.qk_rope_head_dim)


@transformers_family("deepseek_v2", "deepseek_v3", defaults={"kv_lora_rank": 512, "qk_rope_head_dim": 64})
@transformers_family("axk1", "glm4_moe_lite", "minicpm3", "youtu", "sarvam_mla")
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
        yield attention(layer, latent_numbers(c) + (c.index_head_dim if indexer == "full" else 0))


# --- State spaces and their hybrids -----------------------------------------------------------------------------------


def selective_scan(layer: int, inner: int, state: int, kernel: int) -> Iterator[Memory]:
    """Mamba (Gu & Dao 2023, arXiv 2312.00752): a state of `state` numbers per channel, and a short convolution."""
    yield recurrent(layer, inner * state, bits=FLOAT32)
    yield convolution(layer, inner, kernel)


def state_space_dual(layer: int, inner: int, state: int, groups: int, kernel: int) -> Iterator[Memory]:
    """Mamba-2 (Dao & Gu 2024, arXiv 2405.21060): heads * head_dim * state; the convolution also runs over B and C."""
    yield recurrent(layer, inner * state, bits=FLOAT32)
    yield convolution(layer, inner + 2 * groups * state, kernel)


@transformers_family("mamba", "falcon_mamba", defaults={"expand": 2, "state_size": 16, "conv_kernel": 4})
def mamba(c: Config) -> Iterator[Memory]:
    """Mamba layers throughout."""
    for layer in range(c.num_hidden_layers):
        yield from selective_scan(layer, int(c.expand * c.hidden_size), c.state_size, c.conv_kernel)


@transformers_family("mamba2", defaults={"conv_kernel": 4, "n_groups": 8, "state_size": 128, "head_dim": 64})
def mamba2(c: Config) -> Iterator[Memory]:
    """Mamba-2 layers throughout."""
    for layer in range(c.num_hidden_layers):
        yield from state_space_dual(layer, c.num_heads * c.head_dim, c.state_size, c.n_groups, c.conv_kernel)


def _jamba_linear(c: Config, layer: int) -> Iterator[Memory]:
    return selective_scan(layer, int(c.mamba_expand * c.hidden_size), c.mamba_d_state, c.mamba_d_conv)


@transformers_family(
    "jamba",
    defaults={
        "attn_layer_period": 8, "attn_layer_offset": 4, "mamba_expand": 2, "mamba_d_state": 16, "mamba_d_conv": 4,
        "num_key_value_heads": 8, "head_dim": None, "sliding_window": None,
        "layer_types": lambda c: every(c.attn_layer_period, offset=c.attn_layer_offset, first="mamba")(c),
    },
)  # fmt: skip
@transformers_family("zamba")
def jamba(c: Config) -> Iterator[Memory]:
    """Mamba layers with global attention among them (Lieber et al. 2024, arXiv 2403.19887)."""
    return layered(c, linear=_jamba_linear)


def _bamba_linear(c: Config, layer: int) -> Iterator[Memory]:
    inner = c.get("mamba_d_ssm", int(c.mamba_expand * c.hidden_size))
    return state_space_dual(layer, inner, c.mamba_d_state, c.mamba_n_groups, c.mamba_d_conv)


@transformers_family("bamba", "granitemoehybrid", "falcon_h1")
def bamba(c: Config) -> Iterator[Memory]:
    """Mamba-2 layers with global attention among them, or both in every layer (falcon_h1)."""
    return layered(c, linear=_bamba_linear)


def _zamba2_linear(c: Config, layer: int) -> Iterator[Memory]:
    inner = int(c.mamba_expand * c.hidden_size)
    return state_space_dual(layer, inner, c.mamba_d_state, c.mamba_ngroups, c.mamba_d_conv)


@transformers_family("zamba2")
def zamba2(c: Config) -> Iterator[Memory]:
    """Mamba-2 layers; some also run a shared attention of twice the width."""
    return layered(c, cached=lambda c: 2 * key_value_heads(c) * c.attention_head_dim, linear=_zamba2_linear)


def _nemotron_linear(c: Config, layer: int) -> Iterator[Memory]:
    inner = c.mamba_num_heads * c.mamba_head_dim
    return state_space_dual(layer, inner, c.ssm_state_size, c.n_groups, c.conv_kernel)


def _nemotron_types(c: Config) -> list[str]:
    kinds = {"M": "linear_attention", "*": "full_attention", "E": "moe", "-": "mlp"}
    return [kinds[letter] for letter in c.hybrid_override_pattern]


@transformers_family("nemotron_h")
def nemotron_h(c: Config) -> Iterator[Memory]:
    """Mamba-2, attention and feed-forward as layers of their own."""
    return layered(c, linear=_nemotron_linear)


# --- Linear attention and its hybrids ---------------------------------------------------------------------------------


def delta_rule(c: Config, layer: int) -> Iterator[Memory]:
    """Gated DeltaNet (Yang et al. 2024, arXiv 2412.06464): a matrix per value head, convolutions over q, k and v."""
    keys = c.linear_num_key_heads * c.linear_key_head_dim
    values = c.linear_num_value_heads * c.linear_value_head_dim
    yield recurrent(layer, values * c.linear_key_head_dim, bits=FLOAT32)
    yield convolution(layer, 2 * keys + values, c.linear_conv_kernel_dim)


@transformers_family(
    "qwen3_next",
    defaults={
        "full_attention_interval": 4, "layer_types": every("full_attention_interval", first="linear_attention"),
        "head_dim": 256, "num_key_value_heads": 2, "linear_num_key_heads": 16, "linear_key_head_dim": 128,
        "linear_num_value_heads": 32, "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "sliding_window": None,
    },
)  # fmt: skip
@transformers_family("qwen3_5_text", "qwen3_5_moe_text", "olmo_hybrid", "lara_mini")
def gated_deltanet_hybrid(c: Config) -> Iterator[Memory]:
    """Gated DeltaNet layers with attention among them."""
    return layered(c, linear=delta_rule)


def _delta_attention(c: Config, layer: int) -> Iterator[Memory]:
    width = c.linear_num_heads * c.linear_head_dim
    yield recurrent(layer, width * c.linear_head_dim, bits=FLOAT32)
    yield convolution(layer, 3 * width, c.linear_conv_kernel_dim)


@transformers_family("kimi_linear", "bailing_hybrid")
def kimi_linear(c: Config) -> Iterator[Memory]:
    """Kimi delta attention (Kimi Team 2025, arXiv 2510.26692) with latent attention among it."""
    return layered(c, cached=latent_numbers, linear=_delta_attention)


def _lightning(c: Config, layer: int) -> Iterator[Memory]:
    yield recurrent(layer, c.num_attention_heads * head_dim(c) ** 2)


@transformers_family("minimax")
def minimax(c: Config) -> Iterator[Memory]:
    """Lightning attention (a matrix per head) with global attention among it (MiniMax 2025, arXiv 2501.08313)."""
    return layered(c, linear=_lightning)


def _short_convolution(c: Config, layer: int) -> Iterator[Memory]:
    yield convolution(layer, c.hidden_size, c.conv_L_cache)


@transformers_family("lfm2", "lfm2_moe", "lfm3")
def lfm2(c: Config) -> Iterator[Memory]:
    """Gated short convolutions with attention among them."""
    return layered(c, linear=_short_convolution)


def _gated_recurrence(c: Config, layer: int) -> Iterator[Memory]:
    width = c.get("lru_width", c.hidden_size)
    yield recurrent(layer, width, bits=FLOAT32)
    yield convolution(layer, width, c.conv1d_width, stored=c.conv1d_width - 1)


@transformers_family("recurrent_gemma")
def recurrent_gemma(c: Config) -> Iterator[Memory]:
    """Griffin: gated linear recurrences with local attention among them (De et al. 2024, arXiv 2402.19427)."""
    return layered(c, linear=_gated_recurrence)


def _compressed_projection(c: Config, layer: int) -> Iterator[Memory]:
    columns = (c.cca_time0 - 1) + (c.cca_time1 - 1)  # two convolutions, one after the other
    width = (c.num_attention_heads + c.num_key_value_heads) * c.head_dim
    yield convolution(layer, width, columns + 1, stored=columns)
    yield recurrent(layer, c.num_key_value_heads * c.head_dim // 2)


@transformers_family("zaya")
def zaya(c: Config) -> Iterator[Memory]:
    """Compressed convolutional attention: a convolution and half of the last token's values beside the cache."""
    return layered(c, linear=_compressed_projection)


@transformers_family("rwkv", defaults={"attention_hidden_size": None})
def rwkv(c: Config) -> Iterator[Memory]:
    """RWKV-4 (Peng et al. 2023, arXiv 2305.13048): two token shifts; a weighted average's three running terms."""
    for layer in range(c.num_hidden_layers):
        yield recurrent(layer, 2 * c.hidden_size)
        yield recurrent(layer, 3 * c.get("attention_hidden_size", c.hidden_size), bits=FLOAT32)


def _multiple(size: float, of: int) -> int:
    return int((size + of - 1) // of) * of


@transformers_family(
    "xlstm",
    defaults={
        "hidden_size": lambda c: c.embedding_dim, "num_hidden_layers": lambda c: c.num_blocks, "num_heads": 8,
        "qk_dim_factor": 0.5, "v_dim_factor": 1.0,
    },
)  # fmt: skip
def xlstm(c: Config) -> Iterator[Memory]:
    """mLSTM (Beck et al. 2024, arXiv 2405.04517): per head a matrix memory, a normaliser and a stabiliser."""
    keys = _multiple(c.hidden_size * c.qk_dim_factor, 64) // c.num_heads
    values = _multiple(c.hidden_size * c.v_dim_factor, 64) // c.num_heads
    for layer in range(c.num_hidden_layers):
        yield recurrent(layer, c.num_heads * (keys * values + keys + 1))
