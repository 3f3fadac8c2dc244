"""Phrases before a final answer in prose, in the languages that models answer in, all in lower case."""

ENGLISH = (
    "answer:", "answer**:", "answer is:", "answer is", "answer**", "answer\n", "answer =", "answers are", "answer to",
    "####", "result:", "solution:", "answers:", "choice is", "option is", "result is", "answer should be",
    "answer would be", "answer must be", "answer will be", "answer comes out to be", "answer turns out to be", "ans:",
    "ans.", "ans =", "answer：",
)  # fmt: skip
EAST_ASIAN = (
    "答案：", "答案:", "答案是", "答案为", "答案不是", "答案選", "答案选", "选", "选择", "选项",  # Chinese
    "结果是", "结果为", "答：", "填：", "故填",
    "答えは", "答え：", "答え:", "正解は", "정답은", "정답:", "답은", "답:",  # Japanese, Korean
)  # fmt: skip
# Of languages that write a decimal with a comma.
WITH_DECIMAL_COMMA = (
    "respuesta es", "respuesta:", "respuesta final:", "resultado es", "solución es",  # Spanish
    "resposta é", "resposta:", "resultado é",  # Portuguese
    "réponse est", "réponse :", "réponse:", "résultat est",  # French
    "antwort ist", "antwort lautet", "antwort:", "ergebnis ist", "ergebnis", "lösung ist", "ergebnis:",  # German
    "risposta è", "risposta:", "risultato è",  # Italian
    "ответ:", "ответ —", "ответ -", "ответ –", "ответом является", "ответ равен",  # Russian
    "đáp án là", "đáp án:", "jawabannya adalah", "jawaban:", "cevap:", "odpowiedź:", "antwoord is", "antwoord:",
)  # fmt: skip
CUES = ENGLISH + EAST_ASIAN + WITH_DECIMAL_COMMA
_NO_DENIAL = r"(?!(?:no|non|nicht|não|не|pas|inte|ikke|niet|nie)\b)"
# With words between noun and verb: la respuesta correcta es, la bonne réponse est donc; and `Ans 5`.
NOUN_AND_VERB = (
    r"\b(?:respuesta|resultado|soluci[oó]n|resposta|solução|réponse|résultat|solution|antwort|ergebnis|lösung|risposta"
    r"|risultato|soluzione|ответ\w*|результат|antwoord|svaret|vastaus|răspunsul|odpověď|odpowiedź|cevap|відповідь)"
    rf"\s+(?:{_NO_DENIAL}\w+\s+){{0,3}}?(?:es|é|est|ist|lautet|è|является|равен|равна|равно|is|är|er|on|este|je|to)\s+"
    rf"(?:{_NO_DENIAL}\w+\s+)?(?=[-0-9$\\(]|[A-J]\b)"
)
SHORT_CUE = r"\bans(?:wer)?(?:\s+[-–—])?\s+(?=[-0-9$\\(])"
VERBS = (
    " is equal to ", " are equal to ", " equals ", " is ", " are ", " it's ", " was ", " were ", " be ", " get ",
    " gives ", " give ", " yields ", " obtain ", " find ", " got ", " choose ", " has ", " have ", " costs ", " cost ",
    " takes ", " took ", " guess ", " pick ", " select ", " go with ", " say ", " = ", ": ", " to ",
    " of ", " by ", "是", "为", "等于", "：",
)  # fmt: skip
