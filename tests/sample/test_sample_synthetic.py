"""Made-up inputs: every kind of model gets one that it takes, in the number asked for, repeatable, without a target."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from sample_subjects import Forward, draw, exported, mlp, subject_of
from torch import nn

from gradcheck_cli.errors import NotCompleted, SampleError
from gradcheck_cli.records import Batch
from gradcheck_cli.sample import searching


class LeNet(nn.Module):
    def __init__(self, side: int, features: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 5)
        self.fc = nn.Linear(features, 10)
        self.side = side

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.fc(torch.flatten(self.conv(x), 1)))


class Tagger(nn.Module):
    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.emb = nn.Embedding(50, 8, padding_idx=0)
        self.rnn = nn.LSTM(8, 6, batch_first=batch_first)
        self.out = nn.Linear(6, 3)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.out(self.rnn(self.emb(tokens))[0]))


class HeadFirst(nn.Module):
    """Registers its head before its stem."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)
        self.stem = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.head(self.stem(x).mean((2, 3))))


class Vit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cls = nn.Parameter(torch.zeros(1, 1, 8))
        self.positions = nn.Parameter(torch.zeros(1, 65, 8))
        self.patches = nn.Conv2d(3, 8, 8, 8)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls.expand(len(x), -1, -1), tokens], 1) + self.positions
        return torch.as_tensor(self.encoder(tokens)[:, 0])


class Bag(nn.Module):
    """A linear layer over all positions fixes their number."""

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(20, 4)
        self.fc = nn.Linear(5 * 4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.fc(self.emb(x).flatten(1)))


def two_towers(self: Any, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor((self.users(user) * self.items(item)).sum(-1))


def diffusion(self: Any, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(self.out(torch.cat([self.fc(x), self.time(t)], 1)))


def lengths(self: Any, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), batch_first=True)
    return torch.as_tensor(self.rnn(packed)[1])


def rounds(self: Any, x: torch.Tensor, times: int, hard: bool, *, scale: float) -> torch.Tensor:
    assert (type(times), type(hard), type(scale)) == (int, bool, float)
    return torch.as_tensor(self.fc(x) * scale)


def nano(self: Any, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(self.emb(tokens) * mask[..., None])


def cell_loop(self: Any, x: torch.Tensor) -> torch.Tensor:
    h = None
    for t in range(x.shape[1]):
        h = self.cell(x[:, t], h)
    return torch.as_tensor(h)


def beside(self: Any, x: torch.Tensor) -> torch.Tensor:
    h = x.new_zeros(x.shape[0], 4)
    for t in range(x.shape[1]):
        h = self.gate(torch.cat([x[:, t], h], 1))
    return torch.as_tensor(h)


def fourier(self: Any, x: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(self.fc(torch.cat([f(x * k) for k in (1, 2) for f in (torch.sin, torch.cos)], -1)))


B = 5
MODELS: dict[str, tuple[nn.Module, list[tuple[int, ...]]]] = {
    "linear": (mlp(), [(B, 4)]),
    "conv 32": (LeNet(32, 4 * 28 * 28), [(B, 1, 32, 32)]),
    "conv 28": (LeNet(28, 4 * 24 * 24), [(B, 1, 28, 28)]),
    "conv 224": (LeNet(224, 4 * 220 * 220), [(B, 1, 224, 224)]),
    "conv1d": (nn.Sequential(nn.Conv1d(2, 3, 5), nn.ReLU()), [(B, 2, 64)]),
    "conv3d": (nn.Conv3d(1, 2, 3), [(B, 1, 16, 16, 16)]),
    "generator": (nn.Sequential(nn.ConvTranspose2d(8, 4, 4), nn.BatchNorm2d(4)), [(B, 8, 1, 1)]),
    "embedding, lstm": (Tagger(True), [(B, 16)]),
    "embedding, time-major lstm": (Tagger(False), [(16, B)]),
    "fixed positions": (Bag(), [(B, 5)]),
    "lstm": (nn.LSTM(3, 4), [(16, B, 3)]),
    "gru batch first": (nn.GRU(3, 4, batch_first=True), [(B, 16, 3)]),
    "cell": (nn.GRUCell(3, 4), [(B, 3)]),
    "encoder": (nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 8, batch_first=True), 1), [(B, 16, 8)]),
    "linear, encoder": (
        nn.Sequential(nn.Linear(3, 8), nn.TransformerEncoderLayer(8, 2, 8, batch_first=True)),
        [(B, 16, 3)],
    ),
    "transformer": (nn.Transformer(8, 2, 1, 1, 8), [(16, B, 8), (16, B, 8)]),
    "attention": (nn.MultiheadAttention(8, 2, batch_first=True), [(B, 16, 8)] * 3),
    "vit": (Vit(), [(B, 3, 64, 64)]),
    "head first": (HeadFirst(), [(B, 3, 32, 32)]),
    "batch norm": (nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2)), [(B, 3)]),
    "batch norm 2d": (nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 3)), [(B, 3, 32, 32)]),
    "instance norm": (nn.InstanceNorm1d(3, affine=True), [(B, 3, 64)]),
    "layer norm": (nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 2)), [(B, 16, 6)]),
    "bilinear": (nn.Bilinear(3, 4, 2), [(B, 3), (B, 4)]),
    "no parameters": (nn.ReLU(), [(B, 16)]),
    "two towers": (Forward(two_towers, users=nn.Embedding(100, 4), items=nn.Embedding(7, 4)), [(B, 16), (B, 16)]),
    "two inputs": (
        Forward(lambda self, a, b: self.one(a) + self.two(b), one=nn.Linear(3, 2), two=nn.Linear(5, 2)),
        [(B, 3), (B, 5)],
    ),
    "time step": (
        Forward(diffusion, fc=nn.Linear(3, 4), time=nn.Embedding(10, 4), out=nn.Linear(8, 3)),
        [(B, 3), (B,)],
    ),
    "lengths": (Forward(lengths, rnn=nn.GRU(3, 4, batch_first=True)), [(B, 16, 3), (B,)]),
    "mask": (Forward(nano, emb=nn.Embedding(9, 4)), [(B, 16), (B, 16)]),
    "flattened image": (nn.Sequential(nn.Flatten(), nn.Linear(48, 3)), [(B, 48)]),
    "any positional": (Forward(lambda self, *xs: self.fc(xs[0]), fc=nn.Linear(3, 2)), [(B, 3)]),
    "keyword": (Forward(lambda self, *, x: self.fc(x), fc=nn.Linear(3, 2)), [(B, 3)]),
    "cell in a loop": (Forward(cell_loop, cell=nn.RNNCell(3, 4)), [(B, 16, 3)]),
    "state beside": (Forward(beside, gate=nn.Linear(3 + 4, 4)), [(B, 16, 3)]),
    "half": (Forward(lambda self, x: self.fc(x[:, :5]) + x[:, 5:], fc=nn.Linear(5, 5)), [(B, 10)]),
    "coordinates": (Forward(fourier, fc=nn.Linear(12, 4)), [(B, 3)]),
    "channels last": (Forward(lambda self, x: self.conv(x.transpose(1, 2)), conv=nn.Conv1d(2, 3, 5)), [(B, 64, 2)]),
    "wrapped": (nn.DataParallel(mlp()), [(B, 4)]),
    "double": (mlp().double(), [(B, 4)]),
}


@pytest.mark.parametrize("kind", MODELS)
def test_every_kind_of_model_gets_an_input(kind: str) -> None:
    module, expected = MODELS[kind]
    state = torch.get_rng_state()
    sample = draw(subject_of(module), batch_size=B, batches=2, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert [batch.size for batch in sample.batches] == [B, B]
    for batch in sample.batches:
        values = [*batch.args, *batch.kwargs.values()]
        assert [tuple(value.shape) for value in values] == expected
        assert batch.target is None
        module(*batch.args, **batch.kwargs)
    assert (sample.source, sample.loss_name, sample.loss) == ("synthetic", "none", None)
    assert sample.remarks[0].startswith("made-up input: ")
    again, other = (draw(subject_of(module), batch_size=B, batches=2, seed=seed) for seed in (1, 2))
    first, same, different = (_flat(s.batches[0]) for s in (sample, again, other))
    assert torch.equal(first, same)
    assert not torch.equal(first, different)
    assert not torch.equal(first, _flat(sample.batches[1]))


def _flat(batch: Batch) -> torch.Tensor:
    return torch.cat([value.double().flatten() for value in (*batch.args, *batch.kwargs.values())])


def test_values_are_unit_normal_and_tokens_in_range_without_padding() -> None:
    x = torch.cat([b.args[0] for b in draw(subject_of(mlp()), batch_size=2000).batches])
    assert x.dtype == torch.float32
    assert abs(x.mean().item()) < 0.05
    assert abs(x.std().item() - 1) < 0.05
    tokens = torch.cat([b.args[0] for b in draw(subject_of(Tagger(True)), batch_size=200).batches])
    assert tokens.dtype == torch.int64
    assert sorted(set(tokens.flatten().tolist())) == list(range(1, 50))


def test_plain_options_are_known_by_their_annotation() -> None:
    batch = draw(subject_of(Forward(rounds, fc=nn.Linear(3, 2))), batch_size=2).batches[0]
    assert batch.args[0].shape == (2, 3)
    assert batch.args[1:] == (1, False)
    assert batch.kwargs == {"scale": 1.0}


def test_no_input_found_says_what_forward_takes() -> None:
    def forward(self: Any, graph: Any, weights: Any) -> Any:
        return self.fc(graph.nodes) + weights.edges

    with pytest.raises(SampleError) as caught:
        draw(subject_of(Forward(forward, fc=nn.Linear(4, 2))))
    error = caught.value
    assert error.slug == "no-input-found"
    assert "forward(graph, weights)" in error.message
    assert "--data with graph, weights" in error.hint
    assert "--input-shape" in error.hint
    assert "the nearest, normal noise of shape" in error.message
    assert "\n" not in str(error)


def test_trials_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def forward(self: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
        nonlocal calls
        calls += 1
        assert False, "never"  # noqa: B011, PT015

    module = Forward(forward, **{f"l{i}": nn.Linear(i + 3, 2) for i in range(5)})
    with pytest.raises(SampleError, match="tries"):
        draw(subject_of(module))
    assert calls == searching.MAX_TRIALS
    calls, clock = 0, iter(range(0, 10_000, 20))
    monkeypatch.setattr(time, "thread_time", lambda: float(next(clock)))
    with pytest.raises(SampleError):
        draw(subject_of(module))
    assert calls == 2


def test_a_model_that_takes_nothing() -> None:
    module = Forward(lambda self: self.fc.weight.sum(0), fc=nn.Linear(4, 2))
    assert [batch.args for batch in draw(subject_of(module)).batches] == [()]


def test_a_model_that_is_broken_for_every_input_is_not_blamed_on_the_input() -> None:
    with pytest.raises(NotCompleted) as caught:
        draw(subject_of(Forward(lambda self, x: self.fc(x) / (1 // 0), fc=nn.Linear(4, 2))))
    assert caught.value.slug == "forward-failed"


# ------------------------------------------------------------------------------------------------------ example inputs


def test_fixed_example_inputs_come_first_and_then_noise_like_them() -> None:
    example = torch.rand(3, 4) * 5 + 100
    sample = draw(exported(mlp(), example))
    assert [batch.size for batch in sample.batches] == [3, 3, 3, 3]
    assert torch.equal(sample.batches[0].args[0], example)
    noise = torch.cat([batch.args[0] for batch in sample.batches[1:]])
    assert abs(noise.mean().item() - example.mean().item()) < 3
    assert not torch.equal(sample.batches[1].args[0], sample.batches[2].args[0])
    assert "example inputs" in sample.remarks[0]


def test_dynamic_example_inputs_are_made_up_to_the_batch_size() -> None:
    sample = draw(exported(mlp(), torch.randn(3, 4), dynamic=True), batch_size=7, batches=3)
    assert [batch.size for batch in sample.batches] == [3, 7, 7]
    constant = draw(exported(mlp(), torch.zeros(3, 4), dynamic=True), batch_size=700, batches=3)
    assert [batch.size for batch in constant.batches] == [700] * 3
    assert abs(constant.batches[0].args[0].std().item() - 1) < 0.1


def test_example_tokens_stay_in_their_range() -> None:
    sample = draw(exported(nn.Embedding(9, 2), torch.tensor([[2, 7, 3], [4, 4, 5]])))
    tokens = torch.cat([batch.args[0] for batch in sample.batches])
    assert tokens.min() >= 2
    assert tokens.max() <= 7


def test_a_user_s_loss_can_do_without_a_target() -> None:
    assert draw(subject_of(mlp()), loss=lambda output, target: output.mean()).loss is not None
    with pytest.raises(SampleError) as caught:
        draw(subject_of(mlp()), loss="mse")
    assert caught.value.slug == "missing-target"


# -------------------------------------------------------------------------------------------------------- transformers

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}
GPT = {"vocab_size": 40, "n_positions": 12, "n_embd": 16, "n_layer": 1, "n_head": 2}
T5 = {"vocab_size": 40, "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
BART = {
    **{"vocab_size": 40, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2},
    **{"decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "max_position_embeddings": 32},
}
WHISPER = {**BART, "num_mel_bins": 8, "max_source_positions": 10, "pad_token_id": 0, "vocab_size": 60}
WHISPER |= {"bos_token_id": 1, "eos_token_id": 1, "decoder_start_token_id": 2}
IMAGE = {**SMALL, "image_size": 16, "patch_size": 8}
WAV = {**SMALL, "conv_dim": (8, 8), "conv_stride": (5, 4), "conv_kernel": (10, 8), "num_conv_pos_embeddings": 4}
WAV |= {"num_conv_pos_embedding_groups": 2, "num_feat_extract_layers": 2, "vocab_size": 12}
RESNET = {"embedding_size": 8, "hidden_sizes": [8, 8], "depths": [1, 1]}
CLIP = {"text_config": {**SMALL, "vocab_size": 40}, "vision_config": IMAGE, "projection_dim": 8}
HUGGING_FACE: dict[str, tuple[str, dict[str, Any], dict[str, tuple[int, ...]]]] = {
    "GPT2LMHeadModel": ("GPT2Config", GPT, {"input_ids": (B, 12), "attention_mask": (B, 12)}),
    "BertForSequenceClassification": ("BertConfig", {**SMALL, "vocab_size": 40}, {"input_ids": (B, 16)}),
    "LlamaForCausalLM": ("LlamaConfig", {**SMALL, "vocab_size": 40}, {"input_ids": (B, 16)}),
    "ViTForImageClassification": ("ViTConfig", IMAGE, {"pixel_values": (B, 3, 16, 16)}),
    "T5ForConditionalGeneration": ("T5Config", T5, {"input_ids": (B, 16), "decoder_input_ids": (B, 16)}),
    "BartForSequenceClassification": ("BartConfig", BART, {"input_ids": (B, 16)}),
    "WhisperForConditionalGeneration": ("WhisperConfig", WHISPER, {"input_features": (B, 8, 20)}),
    "Wav2Vec2ForCTC": ("Wav2Vec2Config", WAV, {"input_values": (B, 4000)}),
    "ResNetForImageClassification": ("ResNetConfig", RESNET, {"pixel_values": (B, 3, 32, 32)}),
    "CLIPModel": ("CLIPConfig", CLIP, {"pixel_values": (B, 3, 16, 16), "input_ids": (B, 16)}),
}


def hugging_face(name: str) -> nn.Module:
    transformers = pytest.importorskip("transformers")
    config, settings, _ = HUGGING_FACE[name]
    module = getattr(transformers, name)(getattr(transformers, config)(**settings))
    assert isinstance(module, nn.Module)
    return module


@pytest.mark.parametrize("name", HUGGING_FACE)
def test_hugging_face_models(name: str) -> None:
    module = hugging_face(name)
    sample = draw(subject_of(module), batch_size=B, batches=2)
    batch = sample.batches[0]
    for key, shape in HUGGING_FACE[name][2].items():
        assert tuple(batch.kwargs[key].shape) == shape
    module(**batch.kwargs)
    assert sample.loss_name in ("none", "model")
    config: Any = module.config
    if "input_ids" in batch.kwargs and getattr(config, "pad_token_id", None) is not None:
        assert not (batch.kwargs["input_ids"] == config.pad_token_id).any()


def test_hugging_face_models_take_their_own_loss_from_labels() -> None:
    module = hugging_face("GPT2LMHeadModel")
    tokens = torch.randint(0, 40, (6, 12))
    sample = draw(subject_of(module), {"input_ids": tokens, "labels": tokens})
    assert sample.loss_name == "model"
    assert sample.loss is not None
    module.eval()
    output = module(**sample.batches[0].kwargs)
    logits = output.logits[:, :-1].reshape(-1, 40)
    expected = nn.functional.cross_entropy(logits, tokens[:, 1:].reshape(-1))
    assert sample.loss(output, tokens).item() == pytest.approx(expected.item(), rel=1e-4)
    assert draw(subject_of(module), {"input_ids": tokens}).loss_name == "none"
    assert "input_ids" in draw(subject_of(hugging_face("BertForSequenceClassification")), tokens).batches[0].kwargs


def test_hugging_face_classes_out_of_range_and_wrong_images() -> None:
    vit = hugging_face("ViTForImageClassification")
    with pytest.raises(SampleError) as caught:
        draw(subject_of(vit), torch.randn(2, 3, 20, 20))
    assert caught.value.slug == "data-does-not-fit"
    with pytest.raises(SampleError, match="2 classes") as caught:
        draw(subject_of(vit), torch.randn(2, 3, 16, 16), target=torch.tensor([0, 2]))
    assert caught.value.slug == "target-does-not-fit"
    sample = draw(subject_of(vit), torch.randn(2, 3, 16, 16), target=torch.tensor([0, 1]), loss="cross-entropy")
    assert sample.loss_name == "cross-entropy"
