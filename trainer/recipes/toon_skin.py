"""The toon's skin: three tones of one colour family, a blush, a jaw shadow, few wrinkles, beards.

One middle tone is measured on the lit part of the face; light, shade, neck and ears follow from it, so hard side light
gives clean shapes and no blotches.
"""

from __future__ import annotations

import numpy as np

from .drawn_brush import Array, coverage, smoothstep, vector
from .drawn_data import CANVAS_PX, SCALE, Sitter, enlarge
from .drawn_tones import blur, brighten, comb, hair_flow, masked_blur, masked_quantiles, to_rgb, tones, valleys
from .drawn_zones import bare_face, beard_zone, cheek_zone, cheeks, face_outline, split_zone


class SkinTones:
    """Three tones of one colour family for all skin of a sitter.

    Args:
        sitter: the aligned face.
        lab: its picture in Lab (`drawn_tones.to_lab`).
        regions: its region maps, smoothed; HxW in [0, 1].
    """

    def __init__(self, sitter: Sitter, lab: Array, regions: dict[str, Array]) -> None:
        bare = bare_face(sitter, regions)
        self.weight = bare
        self.light = masked_blur(lab[..., 0], bare + 0.3 * (regions["ear"] + regions["neck"]), 3.2)
        low, middle, high = masked_quantiles(self.light, bare**2, (0.12, 0.6, 0.92))
        self.spread = float(np.hypot(0.07 * middle, 0.5 * (middle - low)))
        self.middle, self.high = float(middle), float(high)
        lit = bare * smoothstep(low, middle, self.light)
        a, b = (masked_quantiles(lab[..., c], lit, (0.5,))[0] for c in (1, 2))
        chroma = float(np.hypot(a, b))
        gain = 1.38 / (1 + max(chroma - 17, 0) * 0.024)
        self.warmth = min(chroma / 14, 1.0)
        a, b = a * gain, b * gain
        friendly = 0.35 * float(smoothstep(3.5, 9.0, chroma))  # coloured light off, grey pictures stay grey
        a, b = a + friendly * (15 - a), b + friendly * (20 - b)
        a += friendly * 1.6 * max(0.55 * b - a, 0.0)
        self.base = np.array([brighten(middle, 0.76) + 1.5, a, b], np.float32)

    @property
    def base_rgb(self) -> Array:
        """The middle tone, RGB in [0, 1]."""
        return to_rgb(self.base)

    def paint(self, lab: Array, sitter: Sitter) -> Array:
        """The skin layer over the whole enlarged canvas."""
        light_l = self.base[0] + 0.38 * (100 - self.base[0]) * 0.5
        shade = self.base * [0.79, 1.12, 1.0] + np.array([0, 3.2, -1.5]) * self.warmth
        light = np.array([light_l, self.base[1] * 0.80, self.base[2] * 0.86])
        rise = np.hypot(0.05 * self.middle, 0.62 * (self.high - self.middle))
        edges = np.array([self.middle - self.spread, self.middle + rise])
        field = enlarge(self.light) - self._jaw_shadow(sitter) * self.spread * 2.2
        softness = max(self.spread * 0.10, 0.5)
        painted = tones(field, edges, np.stack([shade, self.base, light]).astype(np.float32), softness)
        painted[..., 1] += self._blush(sitter) * 8 * self.warmth
        painted[..., 0] -= enlarge(self._wrinkles(lab)) * 0.30 * self.base[0]
        self._add_beard(painted, lab, sitter)
        return to_rgb(painted)

    def _wrinkles(self, lab: Array) -> Array:
        """The few deep lines of a face, combed along their own direction."""
        light = masked_blur(lab[..., 0], self.weight + 1e-3, 0.8)
        lines = comb(valleys(light, 1.5), hair_flow(light, self.weight), 4, 1)
        depth = smoothstep(0.016, 0.045, lines / max(self.middle, 8))
        return np.asarray(depth * smoothstep(0.6, 0.95, self.weight), np.float32)

    def _add_beard(self, painted: Array, lab: Array, sitter: Sitter) -> None:
        """Beards and moustaches: skin of the lower face that has lost its colour or is far darker than cheeks are."""
        zone = self.weight * beard_zone(sitter.landmarks)
        light, chroma = self.light, masked_blur(np.hypot(lab[..., 1], lab[..., 2]), self.weight + 1e-3, 3.2)
        cheek = self.weight * cheek_zone(sitter.landmarks)
        cheek_light, cheek_chroma = (masked_quantiles(f, cheek, (0.3,))[0] for f in (light, chroma))
        paler = 1 - (chroma / np.maximum(light, 4)) / max(cheek_chroma / max(cheek_light, 4), 0.05)
        darker = 1 - light / max(cheek_light, 4)
        score = 0.75 * darker + 0.8 * np.maximum(paler, 0) - 0.12
        inside = min(
            float((score.clip(0, 0.5) * half).sum() / max(float(half.sum()), 1))
            for half in split_zone(sitter.landmarks, zone)
        )
        share = smoothstep(0.16, 0.24, enlarge(blur(score * zone, 1.2))) * float(smoothstep(0.07, 0.13, inside))
        strands = masked_blur(lab[..., 0], self.weight + 1e-3, 1.2)
        lows = masked_quantiles(strands, zone * smoothstep(0.2, 0.4, score), (0.3, 0.8))
        colour = [masked_quantiles(lab[..., c], zone * smoothstep(0.2, 0.4, score), (0.5,))[0] for c in (1, 2)]
        base = np.array([min(float(brighten(lows[0])) + 2, self.base[0] * 0.92), *colour], np.float32)
        light_tone = base * [1.25, 1, 1] + vector(2, 0, 0)
        combed = enlarge(comb(strands, hair_flow(strands, zone), 5, 1))
        hair = tones(combed, lows[1:], np.stack([base, light_tone]), 1.0)
        painted += share[..., None] * (hair - painted)

    def _blush(self, sitter: Sitter) -> Array:
        yy, xx = np.mgrid[: CANVAS_PX * SCALE, : CANVAS_PX * SCALE].astype(np.float32) / SCALE
        glow = np.zeros_like(xx)
        for x, y in cheeks(sitter.landmarks):
            glow += np.exp(-(((xx - x) / 10) ** 2 + ((yy - y) / 7) ** 2))
        return np.asarray(glow, np.float32)

    @staticmethod
    def _jaw_shadow(sitter: Sitter) -> Array:
        """Cast shadow of the head on the neck, at canvas scale x SCALE."""
        outline = face_outline(sitter.landmarks) * SCALE
        shifted = (outline - outline.mean(0)) * [0.97, 1.0] + outline.mean(0) + [0, 9 * SCALE]
        neck = enlarge(blur(sitter.regions["neck"], 1.5))
        return np.asarray(blur(coverage(shifted.astype(np.float32), CANVAS_PX * SCALE), 1.5) * neck, np.float32)
