"""Who takes part: each contestant's name, the environment it needs and what it stands for."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .. import operations
from ..case import Case

ROOT = Path(__file__).resolve().parents[2]
BUILT = ("hf", "xt", "memory", "machines")
"""The environments that setup.sh builds."""
ENVIRONMENTS = {"own": Path(sys.executable)} | {name: ROOT / ".peers" / name / "bin/python" for name in BUILT}


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One contestant.

    `build` names `module:function` under benchmarks.peers; `step` counts the useful operations of a training step.
    """

    name: str
    build: str
    environment: str
    step: Callable[[Case], float]
    note: str

    @property
    def python(self) -> Path:
        """The interpreter that can import this contestant."""
        return ENVIRONMENTS[self.environment]

    @property
    def is_ours(self) -> bool:
        """Whether Everlong must prove this one right before it is timed."""
        return self.build.startswith("ours:")


EVERLONG_XL = Peer(
    name="everlong_xl",
    build="ours:transformer_xl",
    environment="own",
    step=operations.with_memory,
    note="transformer-xl",
)
EVERLONG_TRANSFORMER = Peer(
    name="everlong_transformer",
    build="ours:transformer",
    environment="own",
    step=operations.sliding_window,
    note="transformer, rotary, context = the memory's length, carried",
)
EVERLONG_LSTM = Peer(
    name="everlong_lstm", build="ours:lstm", environment="own", step=operations.lstm, note="lstm, state carried"
)
EVERLONG_GRU = Peer(
    name="everlong_gru", build="ours:gru", environment="own", step=operations.gru, note="gru, state carried"
)
TORCH_SDPA = Peer(
    name="torch_sdpa",
    build="torch_sdpa:build",
    environment="own",
    step=operations.without_memory,
    note="plain causal Transformer on SDPA, no memory: the practical ceiling",
)
TORCH_LSTM = Peer(
    name="torch_lstm", build="torch_rnn:lstm", environment="own", step=operations.lstm, note="bare torch.nn.LSTM"
)
TORCH_GRU = Peer(
    name="torch_gru", build="torch_rnn:gru", environment="own", step=operations.gru, note="bare torch.nn.GRU"
)
HF_TRANSFOXL = Peer(
    name="hf_transfoxl",
    build="hf_transfoxl:build",
    environment="hf",
    step=operations.with_memory,
    note="transformers 4.35.2 TransfoXL, the last version that runs",
)
XT_XL = Peer(
    name="xt_xl",
    build="x_transformers_xl:t5_bias",
    environment="xt",
    step=operations.with_memory,
    note="x-transformers, T5 relative bias, max_mem_len",
)
XT_XL_FLASH = Peer(
    name="xt_xl_flash",
    build="x_transformers_xl:rotary_flash",
    environment="xt",
    step=operations.with_memory,
    note="x-transformers, rotary positions on SDPA, max_mem_len",
)
LABML_XL = Peer(
    name="labml_xl",
    build="labml_xl:build",
    environment="xt",
    step=operations.with_memory,
    note="labml-nn, with a stub for its broken tracker and position tables cut to what is in reach",
)
SGEMM = Peer(
    name="sgemm",
    build="sgemm:build",
    environment="own",
    step=operations.matrix_product,
    note="square float32 matrix product: the peak that shares are taken of",
)
EVERLONG_COMPRESSIVE = Peer(
    name="everlong_compressive",
    build="ours:compressive",
    environment="own",
    step=operations.with_compressed_memory,
    note="compressive-transformer, convolution trained to reconstruct attention",
)
LUCI_COMP = Peer(
    name="luci_comp",
    build="luci_comp:gated",
    environment="memory",
    step=operations.with_compressed_memory,
    note="compressive-transformer-pytorch; it stops training keys and values: a cheaper step than a right one",
)
LUCI_COMP_NOGATE = Peer(
    name="luci_comp_nogate",
    build="luci_comp:plain",
    environment="memory",
    step=operations.with_compressed_memory,
    note="the same with plain residuals; it stops training keys and values too",
)
LABML_COMP = Peer(
    name="labml_comp",
    build="labml_comp:build",
    environment="xt",
    step=operations.with_compressed_memory,
    note="labml-nn, with the same stub and cut as labml_xl",
)
EVERLONG_REFORMER = Peer(
    name="everlong_reformer",
    build="ours:reformer",
    environment="own",
    step=operations.hashed,
    note="reformer, hashing in every layer, activations kept",
)
EVERLONG_REFORMER_REVERSIBLE = Peer(
    name="everlong_reformer_reversible",
    build="ours:reversible_reformer",
    environment="own",
    step=operations.hashed,
    note="reformer, hashing in every layer, activations computed again",
)
RP_REFORMER = Peer(
    name="rp_reformer",
    build="rp_reformer:build",
    environment="memory",
    step=operations.hashed,
    note="reformer-pytorch, hashing in every layer, reversible; sees other keys when later tokens change",
)
HF_REFORMER = Peer(
    name="hf_reformer",
    build="hf_reformer:build",
    environment="memory",
    step=operations.hashed,
    note="transformers Reformer, hashing in every layer, reversible; sees other keys when later tokens change",
)
EVERLONG_LONGFORMER = Peer(
    name="everlong_longformer",
    build="ours:longformer",
    environment="own",
    step=operations.window_and_global,
    note="longformer",
)
EVERLONG_LONGFORMER_ENCODER = Peer(
    name="everlong_longformer_encoder",
    build="ours:longformer_encoder",
    environment="own",
    step=operations.window_and_symmetric_global,
    note="longformer-encoder",
)
LUCI_LOCAL = Peer(
    name="luci_local",
    build="luci_local:causal",
    environment="memory",
    step=operations.local_window,
    note="local-attention's LocalTransformer, one residual stream, no global tokens",
)
LUCI_LOCAL_ENCODER = Peer(
    name="luci_local_encoder",
    build="luci_local:encoder",
    environment="memory",
    step=operations.local_window,
    note="the same to both sides, no global tokens",
)
HF_LONGFORMER = Peer(
    name="hf_longformer",
    build="hf_longformer:build",
    environment="memory",
    step=operations.window_and_symmetric_global,
    note="transformers Longformer, an encoder only",
)
HF_MISTRAL_SWA = Peer(
    name="hf_mistral_swa",
    build="hf_mistral:build",
    environment="memory",
    step=operations.local_window,
    note="transformers Mistral, sliding_window, no global tokens",
)
EVERLONG_SPARSE_STRIDED = Peer(
    name="everlong_sparse_strided",
    build="ours:sparse_strided",
    environment="own",
    step=operations.strided,
    note="sparse-transformer, strided",
)
EVERLONG_SPARSE_FIXED = Peer(
    name="everlong_sparse_fixed",
    build="ours:sparse_fixed",
    environment="own",
    step=operations.fixed,
    note="sparse-transformer, fixed",
)
EVERLONG_DNC = Peer(name="everlong_dnc", build="ours:dnc", environment="own", step=operations.dnc, note="dnc")
EVERLONG_NTM = Peer(
    name="everlong_ntm", build="ours:ntm", environment="own", step=operations.ntm, note="ntm, one head that writes"
)
EVERLONG_MANN = Peer(name="everlong_mann", build="ours:mann", environment="own", step=operations.mann, note="mann")
PLAIN_DNC = Peer(
    name="plain_dnc",
    build="plain_dnc:build",
    environment="own",
    step=operations.dnc,
    note="the weights and equations of everlong_dnc, step by step under autograd",
)
PIP_DNC = Peer(
    name="pip_dnc",
    build="pip_dnc:build",
    environment="machines",
    step=operations.dnc,
    note="dnc; what it reads never reaches its controller within a call: a cheaper step than a right one",
)
EVERLONG_BERT_CLASSIFIER = Peer(
    name="everlong_bert_classifier",
    build="ours:bert_classifier",
    environment="own",
    step=operations.classified,
    note="bert, mean over tokens",
)
HF_BERT_CLASSIFIER = Peer(
    name="hf_bert_classifier",
    build="hf_classifiers:bert",
    environment="memory",
    step=operations.classified,
    note="transformers BertForSequenceClassification, attention by SDPA",
)
EVERLONG_LONGFORMER_CLASSIFIER = Peer(
    name="everlong_longformer_classifier",
    build="ours:longformer_classifier",
    environment="own",
    step=operations.classified_by_window,
    note="longformer-encoder, first token global",
)
HF_LONGFORMER_CLASSIFIER = Peer(
    name="hf_longformer_classifier",
    build="hf_classifiers:longformer",
    environment="memory",
    step=operations.classified_by_window,
    note="transformers LongformerForSequenceClassification, first token global",
)
EVERLONG_ENCODER_DECODER = Peer(
    name="everlong_encoder_decoder",
    build="ours:encoder_decoder",
    environment="own",
    step=operations.translated,
    note="encoder-decoder",
)
HF_BART = Peer(
    name="hf_bart",
    build="hf_writers:bart",
    environment="memory",
    step=operations.translated,
    note="transformers BartForConditionalGeneration, attention by SDPA",
)
EVERLONG_LONGFORMER_ENCODER_DECODER = Peer(
    name="everlong_longformer_encoder_decoder",
    build="ours:longformer_encoder_decoder",
    environment="own",
    step=operations.translated_by_window,
    note="longformer-encoder-decoder, first token global",
)
HF_LED = Peer(
    name="hf_led",
    build="hf_writers:led",
    environment="memory",
    step=operations.translated_by_window,
    note="transformers LEDForConditionalGeneration, first token global",
)
