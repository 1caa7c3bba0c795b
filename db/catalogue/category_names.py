"""What the name of a category says of its seats: wheelchair places, companions, restricted view.

A name is free text, so this is a guess. It is made only where the name cannot be meant otherwise,
it is said in the import's answer, and a flag of the category or of the seat decides before it.
"""

import re
import unicodedata
from typing import NamedTuple


class Flags(NamedTuple):
    """What is known of the seats of a category."""

    accessible: bool = False
    companion: bool = False
    restricted: bool = False


class Guess(NamedTuple):
    """The flags that a name implies; `doubt`: why it implies none, or ""."""

    flags: Flags
    doubt: str = ""


def guess_flags(name: str) -> Guess:
    """Guess what a category's name says of its seats."""
    text = _fold(name)
    accessible, companion = bool(_ACCESSIBLE.search(text)), bool(_COMPANION.search(text))
    restricted = bool(_RESTRICTED.search(text))
    if _NO_VIEW.search(text):
        return Guess(Flags(restricted=True))
    if not (accessible or companion or restricted):
        return Guess(Flags())
    if _DENIED.search(text):
        return Guess(Flags(), "it may say the contrary")
    if accessible and companion and _BOTH.search(text):
        return Guess(Flags(restricted=restricted), "it names wheelchairs and companions")
    return Guess(Flags(accessible and not companion, companion, restricted))


def _fold(text: str) -> str:
    """Lower case, without accents: names are typed in many ways."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", "".join(c for c in letters if not unicodedata.combining(c)))


def _words(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(_fold(pattern) for pattern in patterns))


_ACCESSIBLE = _words(
    r"wheel ?-?chair|\baccess?ib|\bdisabled|handicap|♿",
    r"rollstuhl|rolli|barrierefrei|(?<!sicht)(?<!hor)behinderte|schwerbehindert",
    r"fauteuils? roulants?|mobilité réduite|\bpmr\b",
    r"sillas? de ruedas|movilidad reducida|discapacitad|minusválid",
    r"sedi[ae] a rotelle|carrozzin|disabili|mobilità ridotta",
    r"cadeiras? de rodas|mobilidade reduzida",
    r"rolstoel|mindervalide|rullstol|rullestol|kørestol|pyörätuoli",
    r"wóz(ek|k)|niepełnosprawn|vozíčk|invalid|kerekesszék",
    r"инвалид|коляс|маломобильн|інвалід",
    r"車いす|車椅子|轮椅|輪椅|휠체어|αμεα|tekerlekli sandalye",
)
_COMPANION = _words(
    r"companion|\bcarers?\b|personal assistant|begleit|accompagn|acompañ|acompanhante",
    r"begeleid|ledsag|følgeperson|avustaja|opiekun|doprovod|сопровожд|супровод|refakat|kísérő",
    r"付き添い|付添|陪同|동반",
)
_VIEW = r"(view(ing)?|visib\w*|sight ?-?(line)?s?|vue|vision|vista|visión|visão|visione|visuale)"
_LESS = (
    r"(restricted|obstructed|limited|partial\w*|reduced|impaired|poor|blocked"
    r"|réduite?|limitée?|restreinte?|partielle|gênée|obstruée"
    r"|reducida|limitada|parcial|restringida|obstruida|reduzida|restrita"
    r"|ridotta|limitata|parziale|ostruita)"
)
_RESTRICTED = _words(
    rf"{_LESS}[ -]{_VIEW}",
    rf"{_VIEW}[ -](is |est |es |è )?{_LESS}",
    r"sichtbehinder|sichteinschränk|sichtbeeinträchtig|hörplatz|teilsicht",
    r"(eingeschränkt|beschränkt|behindert|beeinträchtigt|begrenzt|eingeschr\.)\w* sicht",
    r"sicht (ist )?(eingeschränkt|beschränkt|behindert|beeinträchtigt|begrenzt)",
    r"(beperkt|slecht|belemmerd)\w* (uit)?zicht|(begränsad|skymd|nedsatt) sikt",
    r"(begrænset|begrenset|nedsat|redusert) (ud|ut)?(syn|sikt)|rajoitettu näky",
    r"ograniczon\w+ widoczno|omezen\w+ (výhled|viditelnost)|korlátozott (kilátás|látás)",
    r"(ограниченн|плох|частичн)\w* (вид|обзор|обмежен)|(обмежен)\w* (вид|огляд|обзор)",
    r"k.s.tl. görüş|s.n.rl. görüş|見切れ|見えにくい|视线受阻|시야 ?제한|περιορισμενη ορατοτητα",
)
_NO_VIEW = _words(
    r"\b(no|without) view\b$|\bohne sicht\b$|\bsans (vue|visibilité)\b$",
    r"\bsin (vista|visibilidad)\b$",
)
_DENIED = _words(
    r"\b(not|no|non|never|without|except|excluding|unless|un-?suit\w+|un-?fit|inaccess\w+|impossible)\b",
    r"\b(nicht|kein\w*|ohne|ausser|neben|hinter|ungeeignet\w*)\b|\b(near|next to|behind|beside)\b",
    r"\b(pas|sans|sauf|interdit\w*|inadapté\w*|inaccess\w+|ne)\b|\b(sin|salvo|excepto|inaccesib\w+)\b",
    r"\b(senza|tranne|inaccessibil\w+)\b|\b(não|nao|sem|exceto|inacessív\w+)\b",
    r"\b(niet|geen|zonder|ongeschikt\w*)\b|\b(inte|ej|utan|ikke|uden|uten|ei|ilman)\b",
    r"\b(nie|bez|není|ne|nem|nincs|değil|yok)\b|\b(не|нет|без|немає|ні)\b|不可|不能|非|なし|불가",
)
_BOTH = _words(r"[+&/,]|\b(und|and|et|y|e|en|och|og|i|a|mit|with|avec|con|inkl\w*|incl\w*|sowie)\b")
