"""Runs in the peers' environment: Presidio's pattern recognizers on texts. One JSON document in, one out.

In: `{"entities": [names; none: all], "texts": [...]}`.
Out: `{"spans": [[[start, end, entity, score], …] per text], "seconds": …,
"recognizers": …}`. No model is loaded: words are split by a blank tokenizer, so that context words count as they do in
Presidio's own analyzer, but for words that are not written as in its lists.
"""

import importlib
import json
import sys
import time


class Words:
    """What Presidio asks of a language pipeline: which tokens are worth nothing as context."""

    def __init__(self, blank):
        self._stop_words = blank.Defaults.stop_words

    def is_stopword(self, word, _language):
        return word in self._stop_words

    def is_punct(self, word, _language):
        return not any(map(str.isalnum, word))


def recognizers_of(entities):
    package = importlib.import_module("presidio_analyzer.predefined_recognizers")
    base = importlib.import_module("presidio_analyzer").LocalRecognizer
    # Downloads the list of top-level domains otherwise; a copy of it comes with the package.
    domains = importlib.import_module("tldextract.tldextract")
    domains.TLD_EXTRACTOR = domains.TLDExtract(suffix_list_urls=(), cache_dir=None)
    found = []
    for name in dir(package):
        member = getattr(package, name)
        if not isinstance(member, type) or not issubclass(member, base) or "presidio" not in member.__module__:
            continue
        if (
            ".nlp_engine_recognizers" in member.__module__
            or ".ner" in member.__module__
            or "third_party" in member.__module__
        ):
            continue
        recognizer = member()
        if not entities or set(recognizer.supported_entities) & entities:
            found.append(recognizer)
    return found


def main():
    request = json.load(sys.stdin)
    entities = set(request["entities"])
    recognizers = recognizers_of(entities)
    spacy = importlib.import_module("spacy")
    blank = spacy.blank("en")
    blank.max_length = 1 << 30
    artifacts_of = importlib.import_module("presidio_analyzer.nlp_engine").NlpArtifacts
    enhancer = importlib.import_module("presidio_analyzer.context_aware_enhancers").LemmaContextAwareEnhancer()
    words = Words(blank)
    began = time.process_time()
    spans = []
    for text in request["texts"]:
        results = []
        for recognizer in recognizers:
            for result in recognizer.analyze(text, recognizer.supported_entities, None) or []:
                metadata = dict(result.recognition_metadata or {})
                metadata.setdefault(type(result).RECOGNIZER_IDENTIFIER_KEY, recognizer.id)
                result.recognition_metadata = metadata
                results.append(result)
        if results:
            doc = blank.make_doc(text)
            lemmas = [token.lower_ for token in doc]
            artifacts = artifacts_of([], doc, [token.idx for token in doc], lemmas, words, "en")
            results = enhancer.enhance_using_context(text, results, artifacts, recognizers)
        spans.append(
            [[r.start, r.end, r.entity_type, r.score] for r in results if not entities or r.entity_type in entities]
        )
    seconds = time.process_time() - began
    json.dump({"spans": spans, "seconds": seconds, "recognizers": len(recognizers)}, sys.stdout)


if __name__ == "__main__":
    main()
