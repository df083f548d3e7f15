import itertools
import random

from starcoder_ls.learning.finetuning.near_duplicates import SIMILARITY, find_near_duplicates, hash_grams, jaccard
from training_fixtures import code


def test_copies_with_small_changes_are_found_and_the_first_is_kept() -> None:
    original, other = code("apple", 40), code("brick", 40)
    changed = original.replace("apple_7", "renamed").replace("\n\n\n", "\n\n")
    assert find_near_duplicates([original, other, changed, original]) == {2: 0, 3: 0}


def test_result_agrees_with_the_exact_similarity_of_all_pairs() -> None:
    rng = random.Random(0)
    words = [f"w{number}" for number in range(200)]
    first = rng.choices(words, k=400)
    texts = [
        " ".join(rng.choice(words) if rng.random() < share else word for word in first)
        for share in (0.0, 0.01, 0.02, 0.05, 0.3, 0.9)
    ]
    grams = [hash_grams(text) for text in texts]
    similar = {
        second for first_, second in itertools.combinations(range(len(texts)), 2)
        if first_ == 0 and jaccard(grams[first_], grams[second]) >= SIMILARITY
    }  # fmt: skip
    assert similar
    assert {index for index, origin in find_near_duplicates(texts).items() if origin == 0} == similar


def test_short_and_empty_texts_are_compared_whole() -> None:
    assert find_near_duplicates(["a b", "a b", "a c", "", ""]) == {1: 0, 4: 3}
