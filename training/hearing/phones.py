"""The posture of the mouth for each sound of the International Phonetic Alphabet.

It extends `training.hearing.visemes`, whose English postures it keeps, by the place and the manner of
articulation: the vowels by the chart's height (jaw), backness and rounding (width), the consonants by their place.
"""

from types import MappingProxyType

from training.hearing.visemes import REST, VISEMES, Viseme

_V = VISEMES
_TABLE = {
    # Vowels, close to open. Width: spread front +, rounded -.
    "i": Viseme(0.28, 0.6),
    "ɪ": _V["IH"],
    "e": Viseme(0.5, 0.5),
    "ɛ": _V["EH"],
    "æ": _V["AE"],
    "a": Viseme(0.95, 0.15),
    "y": Viseme(0.25, -0.8),
    "ʏ": Viseme(0.32, -0.6),
    "ø": Viseme(0.4, -0.7),
    "œ": Viseme(0.55, -0.5),
    "ɶ": Viseme(0.8, -0.4),
    "ɨ": Viseme(0.3, 0.3),
    "ʉ": Viseme(0.26, -0.8),
    "ɘ": Viseme(0.4, 0.1),
    "ɵ": Viseme(0.4, -0.5),
    "ə": Viseme(0.42, 0.0),
    "ɚ": _V["ER"],
    "ɜ": Viseme(0.5, -0.1),
    "ɝ": _V["ER"],
    "ɞ": Viseme(0.55, -0.4),
    "ɐ": Viseme(0.7, 0.05),
    "ʌ": _V["AH"],
    "ɑ": _V["AA"],
    "ɒ": Viseme(0.85, -0.4),
    "ɔ": Viseme(0.75, -0.55),
    "o": Viseme(0.55, -0.8),
    "ɤ": Viseme(0.5, 0.1),
    "ʊ": _V["UH"],
    "u": Viseme(0.26, -1.0),
    "ɯ": Viseme(0.3, 0.3),
    # Lips.
    "p": _V["P"],
    "b": _V["B"],
    "m": _V["M"],
    "ɓ": _V["B"],
    "ɱ": _V["V"],
    "f": _V["F"],
    "v": _V["V"],
    "ⱱ": _V["V"],
    "ɸ": Viseme(0.12, -0.3, closure=0.4),
    "β": Viseme(0.12, -0.1, closure=0.5),
    "ʋ": Viseme(0.14, 0.0, closure=0.3, tuck=0.7),
    "w": _V["W"],
    "ʍ": _V["W"],
    "ɥ": Viseme(0.15, -0.8),
    # Teeth and the ridge behind them.
    "θ": _V["TH"],
    "ð": _V["DH"],
    "t": _V["T"],
    "d": _V["D"],
    "ɗ": _V["D"],
    "n": _V["N"],
    "s": _V["S"],
    "z": _V["Z"],
    "l": _V["L"],
    "ɫ": _V["L"],
    "ɬ": _V["L"],
    "ɮ": _V["L"],
    "ɹ": _V["R"],
    "ɻ": _V["R"],
    "r": Viseme(0.28, 0.1),
    "ɾ": Viseme(0.28, 0.1),
    "ɽ": Viseme(0.28, 0.0),
    "ʃ": _V["SH"],
    "ʒ": _V["ZH"],
    "ɕ": Viseme(0.18, 0.1),
    "ʑ": Viseme(0.18, 0.1),
    "ʂ": Viseme(0.2, -0.3),
    "ʐ": Viseme(0.2, -0.3),
    "ʈ": _V["T"],
    "ɖ": _V["D"],
    "ɳ": _V["N"],
    "ɭ": _V["L"],
    # Palate and behind: the lips stay as they are, so the jaw says little.
    "j": _V["Y"],
    "ɲ": Viseme(0.22, 0.3),
    "ɟ": Viseme(0.24, 0.3),
    "c": Viseme(0.24, 0.3),
    "ç": Viseme(0.22, 0.35),
    "ʝ": Viseme(0.22, 0.35),
    "ʎ": Viseme(0.25, 0.3),
    "k": _V["K"],
    "g": _V["G"],
    "ɡ": _V["G"],
    "ɠ": _V["G"],
    "ŋ": _V["NG"],
    "x": _V["K"],
    "ɣ": _V["G"],
    "ɰ": Viseme(0.28, 0.2),
    "q": Viseme(0.33, 0.0),
    "ɢ": Viseme(0.33, 0.0),
    "χ": Viseme(0.35, 0.0),
    "ʁ": Viseme(0.35, 0.0),
    "ʀ": Viseme(0.35, 0.0),
    "ħ": _V["HH"],
    "ʕ": Viseme(0.5, 0.0),
    "h": _V["HH"],
    "ɦ": _V["HH"],
}

#: By the base letter of a sound; every other letter or sign (length, tone, stress, breath) changes no posture.
IPA = MappingProxyType(_TABLE)


def postures(label: str) -> tuple[Viseme, ...]:
    """The postures of one sound in their order: two for a diphthong, none for a sign that is no sound.

    `label` is IPA, as a synthesiser names a sound. A stop that a fricative of the same place follows (tʃ) is one
    posture, that of the fricative.
    """
    found = [letter for letter in label if letter in IPA]
    if len(found) == 2 and found[0] in "tdʈɖ" and found[1] in "szʃʒɕʑʂʐ":
        found = found[1:]
    return tuple(IPA[letter] for letter in found)


__all__ = ["IPA", "REST", "postures"]
