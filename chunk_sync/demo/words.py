"""Prose for the demo: a small vocabulary, a tiny grammar, and one phrase for each odd charset.

Paragraphs are built and wrapped once and shared by all messages: making mail is then mostly joining.
"""

from __future__ import annotations

import textwrap
from functools import cache
from random import Random


def entries(text: str) -> tuple[str, ...]:
    """Split a list of words; an underscore stands for a space within one entry."""
    return tuple(entry.replace("_", " ") for entry in text.split())


_PLURALS = entries("""
invoices reports shipments meetings tickets backups contracts budgets servers dashboards queries
indexes releases migrations drafts estimates photographs recipes bookings lessons seedlings bicycles
harbours bridges lanterns orchards violins maps telescopes libraries kettles ferries gardens
notebooks deadlines interviews questionnaires spreadsheets certificates parcels warehouses
timetables suppliers
""")
_SINGULARS = entries("""
invoice report shipment meeting ticket backup contract budget server dashboard query index release
migration draft estimate photograph recipe booking lesson harbour bridge lantern orchard violin map
telescope library kettle ferry garden notebook deadline interview spreadsheet certificate parcel
warehouse timetable supplier agenda planner checkpoint replica schema vacuum lease audit quarter
prototype workshop
""")
_ADJECTIVES = entries("""
new old final quiet early late updated missing second annual monthly blue small northern shared
public internal broken careful complete partial urgent ordinary surprising expensive local remote
signed printed translated patient narrow crowded sunny sturdy unread pending
""")
_VERBS = entries("""
check send review move close open sign print replace discuss confirm cancel repair measure rename
archive restore schedule approve translate count deliver compare postpone rewrite photograph explain
simplify pay
""")
_PEOPLE = entries("""
Anna Marko the_team finance support the_customer legal our_partner the_supplier Priya Tomas
the_board someone everybody the_night_shift Lucia the_architect operations
""")
_WHEN = entries("""
today tomorrow on_Monday on_Thursday before_noon after_lunch next_week this_quarter
by_the_end_of_the_month as_soon_as_possible during_the_night in_March without_delay
before_the_release once_the_tests_pass
""")
_TEMPLATES = (
    "Could you {verb} the {adjective} {singular} {when}?",
    "{Person} will {verb} the {adjective} {plural} {when}.",
    "Please {verb} the {singular} and the {plural}, {person} asked for it {when}.",
    "The {adjective} {singular} is ready, but the {plural} are still {adjective2}.",
    "We had to {verb} {number} {plural} {when}, and {person} was not amused.",
    "I have attached the {singular}; the {plural} follow {when}.",
    "As far as I can see the {singular} depends on {number} {adjective} {plural}.",
    "Thanks, the {singular} arrived {when}.",
    "There is no hurry: {person} can {verb} it {when}.",
    "If the {singular} is {adjective}, {person} should {verb} the {plural} first.",
    "{Person} says that {number} of the {plural} were {adjective} and one {singular} was {adjective2}.",
    "In short: {verb} the {singular}, then {verb2} the {plural}.",
)
_SUBJECTS = (
    "{Adjective} {singular} for {person}",
    "{Singular} {number}",
    "{Plural} {when}",
    "Question about the {adjective} {singular}",
    "[{singular}] {number} {adjective} {plural}",
    "Can we {verb} the {singular} {when}?",
    "Your {singular} from {person}",
    "Reminder: {verb} the {plural}",
)

# One phrase in the language that goes with the charset; encoded with `errors="replace"`.
REAL_PHRASES = (
    ("iso-8859-1", "Grüße aus München - straßenverkehr, naïve café, señor, façade"),
    ("windows-1252", "Prix : 25 € “citation” — déjà vu … œuvre"),
    ("koi8-r", "Здравствуйте, отправляю вам отчёт за прошлый месяц, посмотрите пожалуйста"),
    ("koi8-u", "Добрий день, надсилаю вам звіт за минулий місяць, ґанок і їжак теж тут"),
    ("windows-1251", "Добрий день, договір у вкладенні, з повагою"),
    ("iso-8859-2", "Zażółć gęślą jaźń, příliš žluťoučký kůň"),
    ("iso-2022-jp", "お世話になっております。添付の資料をご確認ください。"),
    ("shift_jis", "会議の日程を変更しました。よろしくお願いします。"),
    ("gb2312", "您好，附件是本月的销售报告，请查收。"),
    ("gbk", "关于项目进度的会议通知"),
    ("big5", "請查收附件中的合約文件"),
    ("euc-kr", "안녕하세요 첨부파일을 확인해 주시기 바랍니다"),
    ("utf-8", "Ünïcödé ✓ emoji 😀 العربية עברית हिन्दी ไทย Україна"),
    ("iso-8859-8-i", "שלום לכולם, מצורף הדוח"),
    ("windows-874", "สวัสดีครับ ขอบคุณมาก"),
    ("cp932", "①②③ﾊﾝｶｸ"),
)
# The same with labels that no mail program should write and that some do.
PHRASES = (
    *REAL_PHRASES,
    ("utf-7", "Gruesse + mehr"),
    ("x-unknown", "mystery text"),
    ("ansi_x3.110-1983", "plain ascii body"),
)
# Labels that Python does not know, or that it spells otherwise.
_CODECS = {
    "iso-8859-8-i": "iso-8859-8",
    "windows-874": "cp874",
    "x-unknown": "utf-8",
    "ansi_x3.110-1983": "utf-8",
}


def encode(text: str, charset: str) -> bytes:
    """Encode for a mail label; what the charset lacks becomes a question mark."""
    return text.encode(_CODECS.get(charset, charset), "replace")


def sentence(rng: Random) -> str:
    """Make one sentence."""
    return _fill(rng, _TEMPLATES)


def subject(rng: Random) -> str:
    """Make one subject line, without reply prefixes."""
    return _fill(rng, _SUBJECTS)


def _fill(rng: Random, templates: tuple[str, ...]) -> str:
    person = rng.choice(_PEOPLE)
    adjective, singular, plural = rng.choice(_ADJECTIVES), rng.choice(_SINGULARS), rng.choice(_PLURALS)
    return rng.choice(templates).format(
        person=person,
        Person=person[0].upper() + person[1:],
        adjective=adjective,
        Adjective=adjective.capitalize(),
        adjective2=rng.choice(_ADJECTIVES),
        singular=singular,
        Singular=singular.capitalize(),
        plural=plural,
        Plural=plural.capitalize(),
        verb=rng.choice(_VERBS),
        verb2=rng.choice(_VERBS),
        when=rng.choice(_WHEN),
        number=rng.randrange(2, 900),
    )


@cache
def paragraphs() -> tuple[str, ...]:
    """Build the shared paragraphs: lines of at most 72 characters that end in CRLF, ASCII only."""
    rng = Random("chunk_sync demo prose")
    texts = (" ".join(sentence(rng) for _ in range(rng.randrange(2, 9))) for _ in range(600))
    return tuple("\r\n".join(textwrap.wrap(text, 72)) + "\r\n" for text in texts)


@cache
def quoted_paragraphs() -> tuple[str, ...]:
    """Quote the shared paragraphs as replies do."""
    return tuple("> " + text[:-2].replace("\r\n", "\r\n> ") + "\r\n" for text in paragraphs())


@cache
def sentences() -> tuple[str, ...]:
    """Build the shared sentences, for HTML."""
    rng = Random("chunk_sync demo sentences")
    return tuple(sentence(rng) for _ in range(2000))
