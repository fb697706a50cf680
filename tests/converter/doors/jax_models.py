"""JAX functions for the long tests; imported by the converter's child, which has jax."""

import jax
import jax.numpy as jnp
import numpy as np

_rng = np.random.default_rng(4)
_KERNEL = jnp.asarray(_rng.standard_normal((3, 3, 3, 8)) * 0.3, jnp.float32)
_FIRST = jnp.asarray(_rng.standard_normal((16, 32)) * 0.3, jnp.float32)
_SECOND = jnp.asarray(_rng.standard_normal((32, 4)) * 0.3, jnp.float32)


def mlp(features: jax.Array) -> jax.Array:
    """features [n, 16] -> [n, 4]."""
    return jax.nn.gelu(features @ _FIRST) @ _SECOND


@jax.jit  # type: ignore[untyped-decorator]  # jax is an extra, untyped where absent
def convolution(image: jax.Array) -> dict[str, jax.Array]:
    """image [n, 8, 8, 3] -> logits [n, 8] and probabilities [n, 8]."""
    x = jax.lax.conv_general_dilated(
        image, _KERNEL, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    x = jax.nn.relu(x).mean((1, 2))
    return {"logits": x, "probabilities": jax.nn.softmax(x)}
