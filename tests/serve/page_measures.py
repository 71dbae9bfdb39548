"""What is measured of a page as a browser shows it: contrast, overflow, names of controls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

CONTROLS = frozenset(
    {"button", "link", "slider", "textbox", "searchbox", "combobox", "listbox", "option"}
    | {"checkbox", "switch", "spinbutton", "DisclosureTriangle", "radio", "menuitem"}
)
"""Roles that a visitor operates, as Chromium names them."""

_OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

# The formulas of WCAG 2.2, "relative luminance" and "contrast ratio".
_CONTRASTS = """() => {
    const parts = colour => {
        const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number);
        return {rgb: [r, g, b], a};
    };
    const over = (top, below) => top.rgb.map((part, i) => top.a * part + (1 - top.a) * below[i]);
    const groundOf = element => {
        if (!element) return parts(getComputedStyle(document.documentElement).backgroundColor).rgb;
        const own = parts(getComputedStyle(element).backgroundColor);
        return own.a === 1 ? own.rgb : over(own, groundOf(element.parentElement));
    };
    const luminance = rgb => rgb
        .map(part => part / 255)
        .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
    const contrast = (one, other) => {
        const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
    };
    const opacity = element =>
        element ? getComputedStyle(element).opacity * opacity(element.parentElement) : 1;
    const ownText = element => element.matches('select') ? element.selectedOptions[0]?.text
        : element.matches('input:not([type=range], [type=checkbox])') ? element.value
        : [...element.childNodes].filter(node => node.nodeType === Node.TEXT_NODE)
            .map(node => node.data).join('').trim();
    const shown = element => element.checkVisibility({visibilityProperty: true})
        && !element.closest('.hidden, .skip:not(:focus), option, script, style');
    return [...document.body.querySelectorAll('*')]
        .filter(element => shown(element) && ownText(element))
        .map(element => {
            const ground = groundOf(element);
            const ink = parts(getComputedStyle(element).color);
            ink.a *= opacity(element);
            const ratio = contrast(over(ink, ground), ground);
            return {text: ownText(element).slice(0, 40), ratio};
        });
}"""


@dataclass(frozen=True)
class Contrast:
    """How far a text stands out from its ground, 1 to 21."""

    text: str
    ratio: float


def contrasts(page: Page) -> list[Contrast]:
    """Measure every text that is shown."""
    return [Contrast(one["text"], one["ratio"]) for one in page.evaluate(_CONTRASTS)]


def overflow(page: Page) -> int:
    """Return by how many CSS pixels the page is wider than its window."""
    return page.evaluate(_OVERFLOW)


def controls(page: Page) -> list[tuple[str, str]]:
    """Return the role and the name of every control, as assistive software gets them."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    pairs = [(_value(node, "role"), _value(node, "name")) for node in nodes if not node["ignored"]]
    return [(role, name) for role, name in pairs if role in CONTROLS]


def _value(node: dict[str, Any], what: str) -> str:
    return str(node.get(what, {}).get("value", "")).strip()
