"""The word lists of the parser, in one place: functions, fonts, fillers, prose."""


def words(*lines: str) -> frozenset[str]:
    """The words of some lines."""
    return frozenset(" ".join(lines).split())


# Functions, as LaTeX commands and as plain words.
FUNCTIONS = words(
    "sin cos tan cot sec csc arcsin arccos arctan arccot arcsec arccsc asin acos atan sinh cosh tanh coth",
    "ln log lg exp sqrt cbrt abs floor ceil max min gcd lcm det Re Im sgn arg dim",
)
TRIGONOMETRIC = words("sin cos tan cot sec csc")
# Greek letters that are written out in plain text too.
GREEK_WORDS = words("alpha beta gamma delta epsilon theta lambda mu rho sigma tau phi omega")
SYMBOLS = GREEK_WORDS | words(
    "zeta eta iota kappa nu xi upsilon chi psi Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega",
    "ell hbar partial nabla aleph prime ldots top Pr R Z N Q C",
)
# Commands that make a name of what follows: \\vec{v}, \\overline{AB}, \\angle A.
DECORATIONS = words(
    "vec hat bar tilde dot ddot overline overrightarrow overleftrightarrow widehat widetilde mathbb Bbb mathfrak",
    "mathscr angle triangle overset",
)
# Commands that change nothing but looks.
SILENT = words(
    "left right mleft mright big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr displaystyle textstyle",
    "scriptstyle limits nolimits mathbf boldsymbol bm mathit mathsf mathtt mathcal pmb bf it rm em displaylimits hfill",
    "noindent mathop boxed fbox underline allowbreak relax mathstrut strut normalsize large Large tiny small",
)
# Commands that end a product of factors written side by side.
STOPS = words(
    "or and cup cap setminus le ge ne in to approx equiv mid pm mp over choose rfloor rceil rangle times div degree",
    "percent pmod mod bmod Rightarrow iff notin subset not text vert if quad circ sim cong propto",
)
# Operators over a range, which are not evaluated here: equal only as written, or by math-verify.
BIG_OPERATORS = words("sum prod int iint oint lim limsup liminf")
MATRICES = words("matrix pmatrix bmatrix Bmatrix smallmatrix array vmatrix Vmatrix")
STACKS = words("cases aligned align gathered split")
# Words before the condition of a piece.
CONDITION_WORDS = words("if for when where otherwise and")
# Two letters that are a word of a sentence, not a product of symbols.
SHORT_WORDS = words("no so is it if to be by we he as at do go my up us am an of on")
# Words behind a number that name no unit.
UNIT_FILLERS = words(
    "of the a an total exactly approximately about old each long th st nd rd left more only all away",
    "altogether overall",
)
# Words behind a number that say something about it, so that the whole is neither a quantity nor a number.
NO_UNITS = words(
    "squared cubed minus plus times divided multiplied over by factorial halves thirds quarters fourths fifths tenths",
    "hundredths is isn't was are not wrong incorrect right correct false true maybe perhaps or but if because since so",
    "then no yes and doubled tripled half twice point to between from except without less than greater fewer smaller",
    "bigger larger below above choose mod modulo versus vs instead either neither nor",
)
# Words before an answer that are no part of it.
FILLERS = words(
    "therefore thus hence so indeed finally then and approximately about exactly simply just only equal to the a an",
    "now still clearly obviously also choose select pick roughly around",
)
# Words that make a phrase a sentence about an answer, not an answer.
PROSE = words(
    "we get it is the answer therefore thus hence so equals equal value values should be would result final which what",
    "that this these those they you he she there are was were has have had gives give find obtain since because as",
    "required if then must can will need needs let now by to from with for at correct compute conclude after when",
    "where i'm don't know think sum product difference total number add adding subtract multiply dividing not sure",
    "help hope let's our my his her their its some any also first next got am choose chose select pick guess maybe",
    "perhaps step cost costs say go i'd i'll i'm it's that's",
)

# Plain words that mean a command.
PLAIN_COMMANDS = {
    **{name: name for name in FUNCTIONS | GREEK_WORDS},
    **{name: name for name in words("pi infty or and pm times over binom frac emptyset percent degree mod")},
    "Pi": "pi", "infinity": "infty", "Infinity": "infty", "inf": "infty", "oo": "infty", "OR": "or", "AND": "and",
    "union": "cup", "Abs": "abs", "degrees": "degree", "deg": "degree", "pct": "percent", "percentage": "percent",
}  # fmt: skip
# Commands that mean another one.
SYNONYMS = {
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "nicefrac": "frac", "sfrac": "frac", "dbinom": "binom",
    "tbinom": "binom", "leq": "le", "leqslant": "le", "geq": "ge", "geqslant": "ge", "neq": "ne", "lt": "<", "gt": ">",
    "varnothing": "emptyset", "bigcup": "cup", "bigcap": "cap", "backslash": "setminus", "lvert": "vert",
    "rvert": "vert", "lor": "or", "vee": "or", "land": "and", "wedge": "and", "ast": "times", "cdot": "times",
    "lgroup": "(", "rgroup": ")", "ulcorner": "lceil", "urcorner": "rceil", "llcorner": "lfloor", "lrcorner": "rfloor",
    "bullet": "times", "star": "times", "lbrack": "[", "rbrack": "]", "lparen": "(", "rparen": ")", "lbrace": "{",
    "rbrace": "}", "varphi": "phi", "vartheta": "theta", "varepsilon": "epsilon", "textpi": "pi", "dots": "ldots",
    "cdots": "ldots", "dotsc": "ldots", "asin": "arcsin", "acos": "arccos", "atan": "arctan", "arctg": "arctan",
    "tg": "tan", "ctg": "cot", "euro": "€", "pounds": "£", "textdollar": "$", "colon": ":",
    "degrees": "degree", "textdegree": "degree", "rightarrow": "to", "longrightarrow": "to", "implies": "Rightarrow",
    "infin": "infty", "bar": "overline", "widehat": "hat", "widetilde": "tilde", "overrightarrow": "vec",
}  # fmt: skip
