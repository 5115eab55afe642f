"""The forms in which models take sound: spectrograms in both orders, with their masks, and waveforms."""

from __future__ import annotations

from typing import Any

from gradcheck_cli.sample.noise import Noise
from gradcheck_cli.sample.patterns import Constant
from gradcheck_cli.sample.pictures import Form
from gradcheck_cli.sample.settings import setting, whole
from gradcheck_cli.sample.signature import Signature

SPECTROGRAMS = ("input_features", "audio_mel", "audio_input_features")
_SOUND = ("audio", "speech", "encoder")
_MASKS = {
    **dict.fromkeys(("input_features_mask", "feature_attention_mask", "audio_attention_mask"), True),
    "audio_mel_mask": False,  # says what is padding
}
_FRAMES = 64
_LENGTHS = (4000, 3840, 16000, 7680)
"""Of waveforms; the second divides by the strides of the usual codecs."""
_FIXED = 3000
"""Frames of 30 seconds, which encoders made after Whisper take and no others."""


def sound_forms(config: Any, signature: Signature) -> list[Form]:
    """Return the forms of a spectrogram, else of a waveform, that `signature` names; likeliest first."""
    key = next((name for name in SPECTROGRAMS if signature.names(name)), None)
    if key is not None:
        return [_with_masks(each, signature, frames) for each, frames in _spectrograms(config, key)]
    return [{"input_values": each} for each in _waveforms(config)] if signature.names("input_values") else []


def _waveforms(config: Any) -> list[Noise]:
    """Sound, or, for the spectrogram transformers that call theirs the same, frames and bins."""
    frames, bins = setting(config, "max_length"), setting(config, "num_mel_bins")
    if isinstance(frames, int) and isinstance(bins, int):
        return [Noise((frames, bins))]
    channels = whole(config, "audio_channels", "in_channels", of=_SOUND) or 1
    return [Noise((*lead, length)) for length in _LENGTHS for lead in ((), (channels,))]


def bins_of(config: Any) -> int:
    """Return how many bands of frequency a spectrogram has."""
    names = ("num_mel_bins", "feature_size", "n_mels", "input_feat_size", "feature_dim", "mel_bins", "num_mels")
    return whole(config, *names, of=_SOUND) or 80


def _spectrograms(config: Any, key: str) -> list[tuple[Form, int]]:
    bins, positions = bins_of(config), whole(config, "max_source_positions", of=_SOUND)
    # Whisper takes exactly twice its positions, bins first; speech encoders take any length, bins last.
    own = (bins, 2 * positions) if positions else (_FRAMES, bins)
    shapes = [own, own[::-1], (bins, _FIXED)]
    found = [({key: Noise(shape)}, max(shape)) for shape in shapes]
    # As a picture of one channel.
    return [*found, ({key: Noise((1, _FRAMES, bins))}, _FRAMES)]


def _with_masks(form: Form, signature: Signature, frames: int) -> Form:
    masks: Form = {name: Noise((frames,), fill=heard) for name, heard in _MASKS.items() if signature.names(name)}
    longer: Form = {"is_longer": Constant((1,), values=(False,))} if signature.names("is_longer") else {}
    return {**form, **masks, **longer}
