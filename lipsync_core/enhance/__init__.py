"""Enhancers, which make a painted face as sharp as the rest of the picture."""

from lipsync_core.enhance.contract import Enhancer, EnhancerSpec

__all__ = ["Enhancer", "EnhancerSpec"]
