import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests

from eval import stats

FIXED = np.array([18.2, 21.7, 19.9, 25.3, 17.1, 30.4, 22.8, 20.0, 24.6, 19.3, 27.7, 16.5])


def test_mean_does_not_depend_on_order():
    values = np.array([1e16, 1.0, -1e16, 1.0])
    assert all(stats.mean(np.array(p)) == 0.5 for p in itertools.permutations(values))


def test_infinite_scores_are_counted_and_left_out_of_a_summary():
    found = stats.summary(np.array([30.0, math.inf, 28.0, 35.0]))
    assert (found.mean, found.median, found.n, found.infinite) == (31.0, 30.0, 3, 1)
    assert found.std == pytest.approx(np.std([30, 28, 35], ddof=1))
    whole = stats.summary(np.array([math.inf, math.inf]))
    assert (whole.mean, whole.median, whole.n, whole.infinite) == (math.inf, math.inf, 2, 2) and math.isnan(whole.std)
    none = stats.summary(np.array([]))
    assert math.isnan(none.mean) and math.isnan(none.median) and (none.n, none.infinite) == (0, 0)


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize("skewed", [False, True])
def test_intervals_agree_with_scipy(method, skewed):
    values = np.exp(FIXED / 8) if skewed else FIXED
    ours = stats.bootstrap_intervals(values[:, None], resamples=20_000, method=method, expand=False)[0]
    kind = "BCa" if method == "bca" else "percentile"
    theirs = scipy_stats.bootstrap((values,), np.mean, n_resamples=20_000, method=kind, random_state=1, batch=1000)
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert ours == pytest.approx(list(theirs.confidence_interval), abs=0.04 * width)


def test_expansion_makes_a_percentile_interval_as_wide_as_students():
    """For near-normal data the expanded percentile interval is the t interval; that is what it is made for."""
    values = np.random.default_rng(2).normal(20, 3, (12, 200))
    ours = np.ptp(stats.bootstrap_intervals(values, method="percentile"), axis=1)
    student = 2 * scipy_stats.t.ppf(0.975, 11) * values.std(axis=0, ddof=1) / math.sqrt(12)
    assert np.median(ours / student) == pytest.approx(1, abs=0.02)
    plain = np.ptp(stats.bootstrap_intervals(values, method="percentile", expand=False), axis=1)
    assert np.median(plain / student) == pytest.approx(1.96 / 2.201 * math.sqrt(11 / 12), abs=0.02)


def test_bca_is_not_the_percentile_interval_on_skewed_data():
    values = np.exp(FIXED / 4)[:, None]
    bca, plain = (stats.bootstrap_intervals(values, method=m)[0] for m in ("bca", "percentile"))
    assert bca[0] > plain[0] and bca[1] > plain[1]  # pulled towards the long tail


def test_intervals_of_a_column_do_not_depend_on_its_neighbours():
    rng = np.random.default_rng(3)
    values = rng.gamma(2, 3, (501, 7))
    together = stats.bootstrap_intervals(values, resamples=500)
    alone = np.concatenate([stats.bootstrap_intervals(values[:, [j]], resamples=500) for j in range(7)])
    assert np.array_equal(together, alone)


def test_intervals_move_and_scale_with_the_data():
    base = stats.bootstrap_intervals(FIXED[:, None])
    assert stats.bootstrap_intervals(FIXED[:, None] * 3 + 100) == pytest.approx(base * 3 + 100, rel=1e-12)


def test_intervals_of_constant_and_of_single_values():
    assert stats.bootstrap_intervals(np.full((5, 1), 0.1)).tolist() == [[0.1, 0.1]]
    assert np.isnan(stats.bootstrap_intervals(np.array([[1.0, 2.0]]))).all()
    assert stats.bootstrap_intervals(np.empty((5, 0))).shape == (0, 2)


def test_sets_too_small_for_an_interval_get_none():
    least = stats.MINIMUM_FOR_INTERVAL
    assert least == 5 and np.isfinite(stats.bootstrap_intervals(FIXED[:least, None])).all()
    for images in range(least):
        assert np.isnan(stats.bootstrap_intervals(FIXED[:images, None])).all()


def test_intervals_are_the_same_in_chunks():
    """More rows than one chunk of draws holds: the stream of random numbers must not restart."""
    values = np.random.default_rng(0).normal(size=(3000, 1))
    assert stats.resamples_for(3000) == 3333 and (1 << 22) // 3000 < 3333
    low, high = stats.bootstrap_intervals(values)[0]
    standard_error = values.std() / math.sqrt(len(values))
    assert (high - low) / (2 * 1.96 * standard_error) == pytest.approx(1, abs=0.08)


def test_unknown_interval_is_refused():
    with pytest.raises(ValueError, match="bca"):
        stats.bootstrap_intervals(FIXED[:, None], method="t")


def test_wilcoxon_agrees_with_scipy_and_with_enumeration():
    a, b = FIXED, FIXED[::-1] + np.linspace(0.1, 1.7, 12)
    assert stats.wilcoxon_p(a, b) == pytest.approx(scipy_stats.wilcoxon(a, b).pvalue, rel=1e-12)
    difference = np.array([0.5, 1.5, -2.5, 3.5, 4.5, 5.5, 6.5])
    ranks = scipy_stats.rankdata(np.abs(difference))
    observed = abs(ranks[difference > 0].sum() - ranks.sum() / 2)
    sums = [abs(np.dot(s, ranks) - ranks.sum() / 2) for s in itertools.product((0, 1), repeat=7)]
    assert stats.wilcoxon_p(difference, np.zeros(7)) == pytest.approx(np.mean([s >= observed for s in sums]))


def test_wilcoxon_is_exact_with_ties_and_zeros():
    """SciPy enumerates here (slowly, hence few values)."""
    difference = np.array([1, -1, 2, 0, 3, -3, 3, 4.0, 5])
    assert stats.wilcoxon_p(difference, np.zeros(9)) == pytest.approx(scipy_stats.wilcoxon(difference).pvalue)


@pytest.mark.parametrize("images", [6, 13, 30, 50, 51, 200])
def test_wilcoxon_agrees_with_scipy_without_ties(images):
    rng = np.random.default_rng(images)
    a, b = rng.normal(0.3, 1, images), rng.normal(size=images)
    assert stats.wilcoxon_p(a, b) == pytest.approx(scipy_stats.wilcoxon(a, b).pvalue, rel=1e-9)


def test_wilcoxon_needs_six_pairs_and_sees_no_difference_between_equals():
    assert math.isnan(stats.wilcoxon_p(FIXED[:5], FIXED[:5] + 1))
    assert stats.wilcoxon_p(FIXED[:6], FIXED[:6] + 1) == pytest.approx(2 / 2**6)
    assert stats.wilcoxon_p(FIXED, FIXED) == 1.0


def test_infinite_scores_enter_as_the_largest_difference():
    a, b = FIXED.copy(), FIXED - np.linspace(-0.4, 2, 12)
    a[3] = math.inf
    a[4] = b[4] = math.inf
    finite_a, finite_b = a.copy(), b.copy()
    finite_a[3], finite_a[4], finite_b[4] = b[3] + 1e6, 0, 0
    assert stats.wilcoxon_p(a, b) == stats.wilcoxon_p(finite_a, finite_b)
    assert stats.wilcoxon_p(np.full(8, math.inf), np.full(8, math.inf)) == 1.0


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_agrees_with_statsmodels(p_values):
    expected = multipletests(p_values, method="holm")[1]
    assert stats.holm(np.array(p_values)) == pytest.approx(expected, abs=1e-12)


def test_pairwise_p_is_symmetric_and_corrected():
    rng = np.random.default_rng(0)
    scores = rng.normal([0, 0, 1, 3], size=(30, 4))
    matrix = stats.pairwise_p(scores)
    raw = [scipy_stats.wilcoxon(scores[:, i], scores[:, j]).pvalue for i, j in itertools.combinations(range(4), 2)]
    expected = multipletests(raw, method="holm")[1]
    assert np.array_equal(matrix, matrix.T) and (np.diag(matrix) == 1).all()
    assert matrix[np.triu_indices(4, 1)] == pytest.approx(expected)


def test_smallest_p_is_reached_by_complete_separation():
    scores = np.arange(8)[:, None] * 0.01 + np.array([1.0, 2.1, 3.3])
    assert stats.pairwise_p(scores).min() == pytest.approx(stats.smallest_adjusted_p(8, 3))


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 7), st.data())
def test_letters_are_shared_exactly_by_what_cannot_be_told_apart(k, data):
    different = np.zeros((k, k), dtype=bool)
    for i, j in itertools.combinations(range(k), 2):
        different[i, j] = different[j, i] = data.draw(st.booleans())
    found = stats.letters(different)
    for i, j in itertools.product(range(k), repeat=2):
        assert bool(set(found[i]) & set(found[j])) == (i == j or not different[i, j])


def test_letters_of_a_chain_and_of_many():
    near = np.abs(np.subtract.outer(np.arange(4), np.arange(4))) <= 1
    assert stats.letters(~near) == ["a", "ab", "bc", "c"]
    assert stats.letters(np.zeros((3, 3), dtype=bool)) == ["a"] * 3
    apart = stats.letters(~np.eye(60, dtype=bool))
    assert len(set(apart)) == 60 and apart[0] == "a" and apart[52] == "a2"


def test_image_ranks_agree_with_scipy_and_follow_the_direction():
    scores = np.array([[3.0, 1.0, 2.0], [5.0, 5.0, 1.0], [math.inf, 1.0, math.inf]])
    assert stats.image_ranks(scores, "higher").tolist() == [[1, 3, 2], [1.5, 1.5, 3], [1.5, 3, 1.5]]
    assert stats.image_ranks(scores, "lower").tolist() == [[3, 1, 2], [2.5, 2.5, 1], [2.5, 1, 2.5]]


def test_float_noise_is_a_tie():
    scores = np.array([[0.1 + 0.2, 0.3]])
    assert stats.image_ranks(scores, "higher").tolist() == [[1.5, 1.5]]
    won, tied = stats.wins(scores, "higher")
    assert won.sum() == 0 and tied[0, 1] == 1


def test_wins_count_every_image_once():
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 4, (50, 3)).astype(float)
    won, tied = stats.wins(scores, "lower")
    assert (won + won.T + tied == 50).all()
    assert won[0, 1] == (scores[:, 0] < scores[:, 1]).sum()
