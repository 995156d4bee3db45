"""Which decoders may skip pictures that no other picture refers to."""

from av.video.codeccontext import VideoCodecContext

# With these decoders no picture depends on a non-reference picture, so skipping those changes no other picture.
_SKIPPING_CODECS = frozenset({"h264", "mpeg4", "mpeg2video"})
_HVCC_VERSION = 1
_HVCC_LAYERS_BYTE = 21


def can_skip_non_reference(codec: VideoCodecContext) -> bool:
    """Decoding may skip non-reference pictures without changing any other picture.

    In HEVC higher temporal layers may refer to them (H.265, 3.144), so the decoder configuration record must state
    a single layer (ISO/IEC 14496-15, 8.3.3.1: numTemporalLayers, bits 5 to 3 of byte 21).
    """
    if codec.name in _SKIPPING_CODECS:
        return True
    record = codec.extradata
    if codec.name != "hevc" or not record or record[0] != _HVCC_VERSION or len(record) <= _HVCC_LAYERS_BYTE:
        return False
    return record[_HVCC_LAYERS_BYTE] >> 3 & 7 == 1
