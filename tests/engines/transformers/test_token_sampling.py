import numpy as np

from lib.engines.transformers.token_sampling import gumbel, key


def test_noise_is_that_of_splitmix64() -> None:
    def uniform(start: int, place: int) -> float:
        x = (start + place * 0x9E3779B97F4A7C15) % 2**64
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
        return (((x ^ (x >> 31)) >> 11) + 0.5) / 2**53

    keys = [key(7, 0, 0), key(7, 1, 0), key(7, 0, 1), 2**64 - 1]
    assert len(set(keys)) == 4
    noise = gumbel(keys, 1000).double().numpy()
    expected = [[-np.log(-np.log(uniform(start, place))) for place in range(1, 1001)] for start in keys]
    np.testing.assert_allclose(noise, expected, rtol=1e-5, atol=1e-6)
    assert abs(noise.mean() - np.euler_gamma) < 0.06
