"""Chinese answers rewritten as the digits, units and English words they stand for."""

import re

_DIGITS = {"零": 0, "〇": 0, "一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9}
_TENS = {"十": 10, "百": 100, "千": 1000}
_MYRIADS = {"万": 10**4, "亿": 10**8}
_NUMERAL = "[" + "".join((*_DIGITS, *_TENS, *_MYRIADS)) + "]+"
_PHRASES = {
    "无解": "no solution", "无实数解": "no real solution", "没有解": "no solution", "方程无解": "no solution",
    "不存在": "does not exist", "空集": "empty set", "是": "yes", "是的": "yes", "否": "no", "不是": "no",
    "对": "true", "正确": "true", "错": "false", "错误": "false", "不正确": "false", "全体实数": "all real numbers",
    "任意实数": "all real numbers", "所有实数": "all real numbers", "实数": "all real numbers",
    "一半": r"\frac{1}{2}", "正无穷": r"\infty", "无穷大": r"\infty", "负无穷": r"-\infty",
}  # fmt: skip
_UNITS = {
    "千米": "km", "公里": "km", "厘米": "cm", "公分": "cm", "毫米": "mm", "分米": "dm", "米": "m", "千克": "kg",
    "公斤": "kg", "毫克": "mg", "克": "g", "吨": "tonne", "毫升": "mL", "升": "L", "小时": "hours", "分钟": "minutes",
    "秒": "s", "天": "days", "星期": "weeks", "周": "weeks", "个月": "months", "年": "years", "元": "yuan",
    "美元": "dollars", "欧元": "euros", "度": "degrees",
}  # fmt: skip
_UNIT = "|".join(sorted(_UNITS, key=len, reverse=True))
_QUANTITY = re.compile(rf"(?<=[0-9}})]) ?(平方|立方)?({_UNIT})(?:(?:/|每)(平方|立方)?({_UNIT}))?(?![\u4e00-\u9fff])")
_POWERS = {"平方": "^2", "立方": "^3"}
_COUNTERS = "个只本人名张条头棵件辆支位次种岁"
_NUMERAL_BEFORE_UNIT = re.compile(rf"^(负?)({_NUMERAL})(?=(?:平方|立方)?(?:{_UNIT})|[{_COUNTERS}]|$)")
_FRACTION = re.compile(rf"(?:({_NUMERAL})又)?({_NUMERAL})分之({_NUMERAL})")
_PERCENT = re.compile(rf"百分之({_NUMERAL}|[0-9.]+)")
_OPTION = re.compile(r"([A-J])\s*(?:项|选项)\Z")
_JOINTS = (
    (re.compile(r"(?<=[0-9a-zA-Z)}])\s*或者?\s*"), " or "),
    (re.compile(r"(?<=[0-9a-zA-Z)}])\s*[和与及且]\s*"), " and "),
)


def from_chinese(text: str) -> str:
    """`text` with Chinese numerals as digits, units by their symbols, and set phrases in English."""
    if not any("\u4e00" <= char <= "\u9fff" or char == "〇" for char in text):
        return text
    if option := _OPTION.match(text):
        return option[1]
    if text in _PHRASES:
        return _PHRASES[text]
    text = _PERCENT.sub(lambda match: f"{_number(match[1])}%", text)
    text = _FRACTION.sub(_fraction, text)
    text = _NUMERAL_BEFORE_UNIT.sub(lambda match: ("-" if match[1] else "") + str(_number(match[2])), text)
    for joint, word in _JOINTS:
        text = joint.sub(word, text)
    return _QUANTITY.sub(_unit, text)


def _fraction(match: re.Match[str]) -> str:
    """三分之一 as 1/3, 二又三分之一 as 2 1/3."""
    whole = f"{_number(match[1])} " if match[1] else ""
    return f"{whole}{_number(match[3])}/{_number(match[2])}"


def _unit(match: re.Match[str]) -> str:
    name = f" {_UNITS[match[2]]}{_POWERS.get(match[1], '')}"
    return name + (f"/{_UNITS[match[4]]}{_POWERS.get(match[3], '')}" if match[4] else "")


def _number(numeral: str) -> int | str:
    """The value of a Chinese numeral: 一百零五 is 105, 二〇二四 is 2024; digits stay as they are."""
    if numeral[0] in "0123456789.":
        return numeral
    if len(numeral) > 1 and all(char in _DIGITS for char in numeral):
        return "".join(str(_DIGITS[char]) for char in numeral)
    total, section, digit = 0, 0, 0
    for char in numeral:
        if char in _DIGITS:
            digit = _DIGITS[char]
        elif char in _TENS:
            section += (digit or 1) * _TENS[char]
            digit = 0
        else:
            total, section, digit = total + (section + digit) * _MYRIADS[char], 0, 0
    return total + section + digit
