"""All rules are asked at once whether a column's name announces them; the answer is that of each alone."""

from hypothesis import given
from hypothesis import strategies as st

from domain.detectors import detectors
from domain.detectors.column_names import KeywordsOfColumns
from domain.detectors.rule import names_column

KEYWORDS = list(dict.fromkeys(p.keywords for d in detectors() for p in d.patterns if p.keywords))
NAMED = KeywordsOfColumns(KEYWORDS)
WORDS = sorted({word for keywords in KEYWORDS for word in keywords})


@given(
    pieces=st.lists(st.sampled_from(WORDS) | st.text(max_size=6), max_size=4),
    joint=st.sampled_from(["", " ", "_", "-", "."]),
    case=st.sampled_from([str, str.upper, str.title]),
)
def test_a_name_announces_the_rules_that_it_announces_one_by_one(pieces, joint, case):
    name = case(joint.join(pieces))
    assert NAMED.of(name) == [at for at, keywords in enumerate(KEYWORDS) if names_column(keywords, name)]
