"""The options of a job."""

from dataclasses import dataclass, fields
from fractions import Fraction

from lipsync_core.choices import require_choice
from lipsync_core.errors import OptionError
from lipsync_core.option_specs import (
    CPU_ENCODERS,
    DEFAULT_PRESET,
    MAX_CRF,
    MAX_EXPRESSION,
    MAX_FACE,
    MIN_SIDE_PX,
    NEURAL_MODELS,
    OPTIONS,
    PRESETS,
    AudioCodec,
    Blend,
    Codec,
    Compat,
    Deinterlace,
    EncoderName,
    Extend,
    Length,
    Model,
    PixFmt,
    Preset,
    Tracker,
)

#: Checked when the options are made; `catalogue` knows the names of the others.
_CHOICES = ("length", "extend", "blend", "compat", "encoder", "codec", "pix_fmt", "audio_codec", "deinterlace")
#: For options whose range says too little.
_RANGE_REMEDIES = {
    "face": f"count faces from 0 to {MAX_FACE}, left to right, or say largest",
    "crf": f"choose 0 (lossless) to {MAX_CRF}; 20 is the default",
    "fps": "choose 1 to 240 frames a second",
    "min_synced": "choose a share from 0 to 1",
    "min_score": "choose a score from 0 to 1",
    "expression": f"choose 0 (the mouth rests) to {MAX_EXPRESSION}; 1 is the default",
}


@dataclass(frozen=True, slots=True)
class JobOptions:
    """Options of one lip-sync job, checked when made.

    Raises:
        OptionError: a value is outside its range.
    """

    model: Model = "auto"
    tracker: Tracker = "auto"
    blend: Blend = "auto"  # auto: the one that suits the model
    expression: float = 1.0  # how far the mouth moves, 0..1.5; only viseme takes another than 1
    enhance_quality: bool = False
    compat: Compat = "none"  # upstream: as the public implementation does, to compare results one to one
    length: Length = "audio"
    extend: Extend = "pingpong"
    face: int | None = None  # 0 is the leftmost; None follows the largest
    encoder: EncoderName = "auto"  # auto: nvenc where it works, else the one on the CPU
    codec: Codec = "h264"
    pix_fmt: PixFmt = "auto"  # auto: yuv420p, or 10 bits in HEVC where the source has them; source: as it is stored
    keep_depth: bool = False  # HEVC with the source's 10 bits and HDR
    max_size: tuple[int, int] | None = None  # width and height, px; None: what level 5.2 holds
    crf: int = 20
    preset: Preset = DEFAULT_PRESET
    deinterlace: Deinterlace = "auto"  # auto: where the video is marked or seen to be interlaced
    fps: Fraction | None = None  # frames/s of the result; None: the source's own times
    audio_codec: AudioCodec = "auto"  # auto: AAC-LC is copied, all else encoded as AAC-LC
    start_s: Fraction = Fraction(0)
    end_s: Fraction | None = None  # of the result, exclusive
    video_track: str | None = None  # a number, from 0, or a language; None: by the file's own marks
    audio_track: str | None = None
    provenance: bool = True  # the movie is signed, and says in metadata how it was made
    min_synced: float = 0.0  # share of output frames, 0..1; at 0 one frame is enough
    min_score: float = 0.0  # sync score of the result, 0..1; at 0 any

    def __post_init__(self) -> None:
        for name in _CHOICES:
            require_choice(name, getattr(self, name), OPTIONS[name].choices)
        if self.compat == "upstream":
            self._require_plain_job()
        self._require_ranges()
        self._require_fitting_codec()
        self._require_one_depth()
        if self.model in NEURAL_MODELS:
            self.require_fitting_expression(self.model)
        if self.max_size is not None and min(self.max_size) < MIN_SIDE_PX:
            raise OptionError(
                f"max-size is {self.max_size[0]}x{self.max_size[1]}", f"choose {MIN_SIDE_PX} pixels or more each way"
            )
        if self.preset not in PRESETS:
            raise OptionError(f"preset is {self.preset!r}", f"choose one of {', '.join(PRESETS)}")
        if self.end_s is not None and self.end_s <= self.start_s:
            raise OptionError(f"end ({float(self.end_s)} s) is not after start ({float(self.start_s)} s)")

    @property
    def movie_codec(self) -> Codec:
        """What the video is compressed to: `codec`, but where 10 bits are to be kept."""
        return "hevc" if self.keep_depth else self.codec

    def require_fitting_expression(self, model: str) -> None:
        """Refuse an expression that the generator `model` does not take.

        Raises:
            OptionError: it is another than 1, and the model is a network, whose mouths have one size.
        """
        if self.expression != 1.0 and model in NEURAL_MODELS:
            raise OptionError(
                f"expression {self.expression:g} does not go with model {model}",
                "choose model viseme, or leave out expression",
            )

    def _require_ranges(self) -> None:
        """Refuse every number that lies outside the range of its option."""
        for field in fields(self):
            spec, number = OPTIONS[field.name], getattr(self, field.name)
            if spec.has_range and number is not None and not spec.holds(number):
                shown = f"{float(number)} s" if field.name.endswith("_s") else str(number)
                raise OptionError(f"{spec.option} is {shown}", _RANGE_REMEDIES.get(field.name, f"choose {spec.range}"))

    def _require_fitting_codec(self) -> None:
        """Refuse an encoder that was asked for by name and makes the other codec."""
        for codec, encoder in CPU_ENCODERS.items():
            if self.encoder == encoder and self.movie_codec != codec and self.keep_depth:
                raise OptionError(f"keep-depth does not go with encoder {encoder}", "choose encoder x265, or auto")
            if self.encoder == encoder and self.movie_codec != codec:
                raise OptionError(
                    f"encoder {encoder} does not make {self.movie_codec}", f"choose codec {codec}, or auto"
                )

    def _require_one_depth(self) -> None:
        """Refuse a format of 8 bits where the source's depth is to be kept."""
        if self.keep_depth and self.pix_fmt not in ("auto", "source") and "10" not in self.pix_fmt:
            raise OptionError(f"keep-depth does not go with pix-fmt {self.pix_fmt}", "leave out one of them")

    def _require_plain_job(self) -> None:
        """Refuse options that the public implementation does not offer."""
        usual = {field.name: field.default for field in fields(self)}
        for name in ("blend", "expression", "enhance_quality", "length", "extend", "fps", "start_s", "end_s"):
            if getattr(self, name) != usual[name]:
                option = OPTIONS[name].option
                raise OptionError(f"compat upstream does not go with {option}", f"leave out --{option} or --compat")
