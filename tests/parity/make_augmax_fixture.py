"""Writes data/augmax.npz: what augmax makes of small images, as JAX openpi calls it, and the numbers that it drew.

    uv run --with augmax==0.4.1 --with jax --with numpy python tests/parity/make_augmax_fixture.py

Needs an environment of its own; the tests need only the file.
"""

from pathlib import Path

import augmax
import jax
import jax.numpy as jnp
import numpy as np

SIZE, SAMPLES = 32, 8


def make_images() -> np.ndarray:
    """float32 (SAMPLES, SIZE, SIZE, 3) in [0, 1]: smooth ones, and one of pure colours, greys, black and white."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    images = []
    for _ in range(SAMPLES):
        waves = [0.5 + 0.5 * np.sin(f[0] * x + f[1] * y + f[2]) for f in rng.uniform(-9, 9, (3, 3))]
        images.append(np.stack(waves, -1))
    blocks = np.array([[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0.5], [1, 1, 0], [0, 1, 1]])
    images[0] = np.repeat(np.repeat(blocks.reshape(2, 4, 3), SIZE // 2, 0), SIZE // 4, 1)
    return np.stack(images).astype(np.float32)


def augmented(rng, image, wrist: bool):
    """As openpi's preprocess_observation."""
    crop = int(SIZE * 0.95)
    geometric = [augmax.RandomCrop(crop, crop), augmax.Resize(SIZE, SIZE), augmax.Rotate((-5, 5))]
    colour = augmax.ColorJitter(brightness=0.3, contrast=0.4, saturation=0.5)
    return augmax.Chain(*([] if wrist else geometric), colour)(rng, image)


def drawn(rng, wrist: bool) -> list[float]:
    """The uniform numbers in [0, 1) behind crop y, crop x, angle (not for a wrist), jitter or not, and its amounts."""
    numbers = []
    chains = jax.random.split(rng, 1 if wrist else 2)
    if not wrist:
        crop, _, rotate = jax.random.split(chains[0], 3)
        numbers = [*jax.random.uniform(crop, [2]).tolist(), jax.random.uniform(rotate).item()]
    jitter = jax.random.split(chains[-1], 1)[0]
    amounts = [jax.random.uniform(key).item() for key in jax.random.split(jitter, 5)[:3]]
    return [*numbers, float(jax.random.bernoulli(jitter, 0.5)), *amounts]


def main() -> None:
    images = make_images()
    keys = jax.random.split(jax.random.key(3), SAMPLES)
    content = {"images": images}
    for name, wrist in (("base", False), ("wrist", True)):
        content[name] = np.stack([augmented(k, jnp.asarray(i), wrist) for k, i in zip(keys, images, strict=True)])
        content[f"{name}_draws"] = np.array([drawn(key, wrist) for key in keys], np.float32)
    np.savez_compressed(Path(__file__).parent / "data/augmax.npz", **content)
    print({name: array.shape for name, array in content.items()}, content["base_draws"][:, 3])


if __name__ == "__main__":
    main()
