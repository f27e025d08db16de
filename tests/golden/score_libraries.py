"""What sacrebleu and rouge-score say of answers, in the members of Forerun's output."""

import logging
from importlib.metadata import version

from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

logging.getLogger("sacrebleu").setLevel(logging.ERROR)
ROUGE = RougeScorer(["rougeL"], use_stemmer=False)


def versions():
    """Of both libraries."""
    return {"sacrebleu": version("sacrebleu"), "rouge-score": version("rouge-score")}


def tokens(text):
    """As BLEU sees a text."""
    bleu = BLEU()
    return bleu.tokenizer(text.rstrip())


def rouge_l(answer, references):
    """F, the best of all references."""
    return float(ROUGE.score_multi(references, answer)["rougeL"].fmeasure)


def row_scores(answer, references):
    """Scores of one row."""
    return {"exact_match": int(any(answer.strip() == one.strip() for one in references)), "rouge_l": rouge_l(answer, references),
            "chrf": CHRF().sentence_score(answer, references).score}


def corpus_scores(rows):
    """Scores of (answer, references), rows with any number of references."""
    answers = [answer for answer, _ in rows]
    most = max(len(references) for _, references in rows)
    # None: this row has no such reference
    columns = [[references[i] if i < len(references) else None for _, references in rows] for i in range(most)]
    each = [row_scores(answer, references) for answer, references in rows]
    return {"exact_match": sum(row["exact_match"] for row in each) / len(rows), "rouge_l": sum(row["rouge_l"] for row in each) / len(rows),
            "bleu": BLEU().corpus_score(answers, columns).score, "chrf": CHRF().corpus_score(answers, columns).score}
