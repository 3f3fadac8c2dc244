"""Phrases before a final answer in prose, in the languages that models answer in, all in lower case."""

ENGLISH = (
    "answer:", "answer**:", "answer is:", "answer is", "answer**", "answer\n", "answer =", "answers are", "answer to",
    "####", "result:", "solution:", "answers:", "choice is", "option is", "result is", "answer should be",
    "answer would be", "answer must be", "answer will be", "answer comes out to be", "answer turns out to be", "ans:",
    "ans.", "ans =", "answer：",
)  # fmt: skip
OTHER_LANGUAGES = (
    "答案：", "答案:", "答案是", "答案为", "答案不是", "答案選", "答案选", "选", "选择", "选项",  # Chinese
    "结果是", "结果为", "答：",
    "答えは", "答え：", "答え:", "正解は", "정답은", "정답:", "답은", "답:",  # Japanese, Korean
    "respuesta es", "respuesta:", "respuesta final:", "resultado es", "solución es",  # Spanish
    "resposta é", "resposta:", "resultado é",  # Portuguese
    "réponse est", "réponse :", "réponse:", "résultat est",  # French
    "antwort ist", "antwort lautet", "antwort:", "ergebnis ist", "ergebnis", "lösung ist", "ergebnis:",  # German
    "risposta è", "risposta:", "risultato è",  # Italian
    "ответ:", "ответ —", "ответ -", "ответ –", "ответом является", "ответ равен",  # Russian
    "đáp án là", "đáp án:", "jawabannya adalah", "jawaban:", "cevap:", "odpowiedź:", "antwoord is", "antwoord:",
)  # fmt: skip
CUES = ENGLISH + OTHER_LANGUAGES
VERBS = (
    " is equal to ", " are equal to ", " equals ", " is ", " are ", " it's ", " was ", " were ", " be ", " get ",
    " gives ", " give ", " yields ", " obtain ", " find ", " got ", " choose ", " has ", " have ", " costs ", " cost ",
    " takes ", " took ", " go with ", " say ", " = ", ": ", " to ", " of ", " by ", "是", "为", "等于", "：",
)  # fmt: skip
