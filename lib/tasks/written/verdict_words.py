"""The words and signs by which judges announce, join, deny and take back verdicts, in English and Japanese."""

import re

_SIGNS = "*_`\"'~#<>【】「」『』"
OPENING = f"{_SIGNS} \t\n:(["  # what may stand before a label
OPENED = f"[{re.escape(OPENING)}]*"
DECORATED = rf"[{_SIGNS}\s]*"
_CLOSED = rf"[{_SIGNS}\s)\]]*"
WHO = (  # whose label it is
    r"(?:the\s+)?(?:response|assistant|model|option|answer|candidate|choice|回答|応答|解答|選択肢|アシスタント|モデル)"
    r"[\s-]*"
)
MARK = re.compile(  # "Verdict:", "**Verdict** is", "最終判定は"; "## Verdict" and 【判定】 as headings
    rf"(?<![A-Za-z0-9])verdict{DECORATED}(?::|=|is\b{DECORATED}:?)|(?:判定|結論){DECORATED}(?::|=|は)"
    r"|^[*_#> \t]*(?:(?:my|the|final|overall)\s+)*(?:verdict|(?:最終)?(?:判定|結論))[*_# \t]*$"
    r"|【[^【】\n]*(?:判定|結論)】",
    re.IGNORECASE | re.MULTILINE,
)
WEAK_MARK = re.compile(  # what announces one only where nothing else does: "Final answer:", "The winner is", "勝者は"
    rf"(?<!correct[ _])(?<!right[ _])(?<!'s )(?<![A-Za-z0-9])answer{DECORATED}[:=]"
    rf"|(?<![A-Za-z0-9])winner{DECORATED}(?::|=|is\b)|勝者{DECORATED}(?::|=|は)",
    re.IGNORECASE,
)
BRACKETS = re.compile(r"\[\[([^\[\]]*)\]\]|\\boxed\{(?:\\(?:text|textbf|mathbf|mathrm)\{)?([^{}]*)\}+")
WEAK_BRACKETS = re.compile(  # neither in prose ("【A】は") nor as headings
    r"【([^【】]*)】(?=[*_]*(?:です|だ|である)?(?:[\s。.!、,)【]|$))(?!\s*\n\s*\S)"
)
JOINED = re.compile(r"\s*(?:[,、/&|<>=]+\s*)?(?:\b(?:or|and|vs\.?)\b|と|か|または)?\s*", re.IGNORECASE)
NOT_THIS = re.compile(  # directly before brackets: "(not [[B]])", "I can't choose [[A]]"
    r"(?:\b(?:not|nor|neither|never|than|instead of)|n't(?:\s+\w+)?)[\s(\"'*_]*$", re.IGNORECASE
)
NOT_THAT = re.compile(r"\s*(?:では?な|じゃな|以外|\b(?:would|is(?:n't|\s+not|\s+wrong))\b)", re.IGNORECASE)  # behind

_GOES_ON = (  # what follows an "A" that is a label
    r"\w+ly|is|was|has|had|does|did|wins|won|beats|outperforms|loses|lost|gives|provides|offers|answers|addresses"
    r"|follows|covers|explains|stays|seems|remains|deserves|gets|takes|edges|performs|comes|meets|serves|makes|uses"
    r"|shows|fails|lacks|would|should|will|can|must|may|might|by|with|for|in|on|over|at|as|due|after|given|because"
    r"|since|than|rather|instead|not|and|or|vs|versus|but|though|although|while|if|unless|overall|reason\w*"
    r"|explanation|rationale|justification|confidence|score|note"
)
ARTICLE = (  # what follows an "a" that is a word: "a draw", "a slightly better one", but not "a clearly wins"
    rf"[ \t]+(?:\([^()\n]*\)\s*)?[*_\"']*(?:\w+ly[ \t]+)*(?!(?:{_GOES_ON})(?![\w-]))[A-Za-z0-9]"
)
END = re.compile(  # of what is said about the verdict itself: "A. …", "A (…", "**A** Response B …"
    r"[\n.。!?;:]|\s[-–—]+\s|[(（—–]|(?<=[*_\])}\"'>】」])[ \t]+(?=[A-Z])"
)
REASON = (  # why a label and not another
    r"(?:\b(?:because|since|given|due to|rather than|instead of)\b|理由|(?:^|,)[^\w,]*as\b(?!\s+(?:well\b|\w+\s+as\b)))"
)
_BUT = r"but(?!\s+(?:only|just|barely|narrowly|slightly|marginally|by|close)\b)"
TURN = re.compile(  # what takes a verdict back, directly behind it or, the more explicit, at the head of any sentence
    rf"\A\W*(?:(?:{_BUT}|however|yet|or|actually|hmm+)\b|no(?=\W*$|\s*[,.:;!—–-])|しかし|でも|いや|いえ|いいえ|では?な|じゃな)"
    r"|(?:\A|[.!?。\n])[^\w.!?。\n]*(?:(?:wait|hold on|on second thoughts?|on reflection|correction|scratch that)\b"
    r"|待って|訂正|やはり|やっぱり)",
    re.IGNORECASE,
)
DENIED = re.compile(
    r"\b(?:not|no(?!\s*[:,])|nor|neither|never|cannot|worse|worst|wrong|incorrect|inferior|weak\w*|fail\w*"
    r"|lacks?|poor\w*|los(?:e|es|t|er|ing)|less|least|beaten|outperformed|second best|comes second"
    r"|unless|if|whether|maybe|perhaps)\b|n't\b"
    r"|では?な|じゃな|ない|ません|以外|劣|悪|誤|負け|間違|不正確|弱",
    re.IGNORECASE,
)
THAN = re.compile(r"\W*(?:の(?:方|ほう|回答|応答))?(?:より|に比べ|と比べ|に対し)")  # directly behind: "Aより"

_PRAISE = r"better|best|superior|stronger|strongest|preferable|preferred|winner"
_SUM = r"so|no|sum|summary|overall|conclusion|decision|judge?ment|choice|pick|preference|result"
_JA_SUM = "(?:答え|勝者|選択|判断|結果|総合|評価|良|よい|優|正し|好まし)"


def chosen(label: str) -> list[re.Pattern[str]]:
    """How a sentence chooses a label (of a pattern): "The better is Response A", "Overall, A wins", 「Aの方が良い」."""
    who = rf"(?:the\s+|an?\s+)?(?:{WHO})?{OPENED}{label}{_CLOSED}"
    patterns = [
        rf"(?:\b(?:it|{_PRAISE}|{_SUM})\b.{{0,100}}(?:\bis\b|'s\b)"
        rf"|\b(?:{_SUM}|{_PRAISE})(?:\s+(?:one|response|answer))?\s*[:=]"
        rf"|\b(?:choose|prefer|pick|select|favou?r|grade|go with|vote for)\b)\s*{who}[.,]*$",
        r"(?:^|,|\bI\s+(?:think|believe|find|conclude|feel)(?:\s+that)?)\s*"
        rf"(?:(?:so|thus|hence|overall|therefore|clearly|in sum)\s+)?{who}\s+"
        rf"(?:(?:is|was)\s+(?:(?:clearly|slightly|much|far|overall|the)\s+)*(?:{_PRAISE})|wins)\b"
        r"(?:\s+(?:one|response|answer|choice|overall))*\s*(?:[,;(.]|$)",
        rf"{who}(?:の?(?:方|ほう)が|が|を|の)(?:より|最も)?(?:良|よい|優|正確|選|勝|好まし)",
        rf"(?:^|{_JA_SUM}[^、]{{0,60}}は\s*){who}(?:です|だ|である)$",
        rf"{_JA_SUM}[^、は]{{0,60}}[:=]\s*{who}$",
    ]
    return [re.compile(pattern, re.IGNORECASE) for pattern in patterns]
