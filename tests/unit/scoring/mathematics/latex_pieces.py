"""Fragments that random answers are made of, in tests and in benchmarks/grading.py."""

from grpo_plugin.scoring.mathematics.parse.lexicon import words

PIECES = sorted(
    words(
        r"\frac { } ( ) [ ] \{ \} 1 23 0.5 x y n \sqrt \pi e i ^ _ + - * / = < \le \in , ; ! % $ | \left \right & \\ ½",
        r"\begin{pmatrix} \end{pmatrix} \text{cm} \text{or} and \cup \infty \pm \sin \log \boxed{ \mathbb{R} \circ ° ²",
        r"\cdot \binom cm hours A yes \setminus \emptyset 1,000 9^9 100! <think> </think> <answer> </answer> ... : '",
        r"Answer: is the \max \min \gcd \lcm \log_ \ln \lg \exp \begin{cases} \end{cases} \over \choose \approx \sum",
        r"\det \lfloor \rfloor \arcsin 三 分之 厘米 或 half third squared st 6:15 0:0 a.m. _{16} \color{red} \not \vec",
        r"\int not no wait <|im_end|> 1e999 00 0x1F \abs \frac12 \sqrt[3] \mathrm{e} \operatorname{a} \mid \overline",
    )
)
