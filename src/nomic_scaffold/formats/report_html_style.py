"""The style sheet of the HTML report: light and dark by the reader's choice, nothing loaded from anywhere."""

from __future__ import annotations

_LIGHT = ["#f4f6fa", "#e3eaf4", "#d0dded", "#bacfe6", "#a1bedd", "#86abd3", "#6a97c7", "#4d81b8", "#3269a5", "#1c4f8a"]
_DARK = ["#1b2230", "#1f2b3e", "#23354d", "#28405e", "#2d4c70", "#345a84", "#3d6a99", "#4b7fb3", "#6398cc", "#86b4e0"]


def _shades(colours: list[str], *, dark_text: str, light_text: str, turn: int, rising: bool) -> str:
    rules = []
    for number, colour in enumerate(colours):
        text = dark_text if (number < turn) is rising else light_text
        rules.append(f".h{number} rect{{fill:{colour}}}.h{number} text{{fill:{text}}}")
    return "".join(rules)


STYLE = (
    """
:root{color-scheme:light dark;--paper:#fff;--ink:#1d2430;--soft:#5a6575;--line:#d9dee6;--card:#f7f8fa;--code:#eef1f5;
--pass:#1a6b3c;--fail:#a8231b;--unknown:#6b4a9c;--warn:#8a5a00;--mark:#2a62a8}
@media (prefers-color-scheme:dark){:root{--paper:#12161d;--ink:#e4e8ef;--soft:#9aa6b8;--line:#2c3542;--card:#1a2029;
--code:#222a35;--pass:#6fcf97;--fail:#ff8a80;--unknown:#c3a6ef;--warn:#f0c36d;--mark:#7db2f0}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1000px;margin:0 auto;padding:2.2rem 1.2rem 4rem}
h1{font-size:1.7rem;line-height:1.25;margin:0 0 .3rem}
h2{font-size:1.2rem;margin:2.6rem 0 .6rem}
p{margin:.5rem 0;max-width:46rem}
.soft,figcaption{color:var(--soft);font-size:.9rem}
code{font:.86em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:var(--code);padding:.1em .35em;
border-radius:4px;overflow-wrap:anywhere}
.verdict{border-left:6px solid var(--tone);background:var(--card);padding:1rem 1.2rem;border-radius:0 8px 8px 0;
margin:1.2rem 0}
.verdict strong{font-size:1.2rem;color:var(--tone)}
.pass{--tone:var(--pass)}.fail{--tone:var(--fail)}.unknown{--tone:var(--unknown)}.warn{--tone:var(--warn)}
.status{color:var(--tone);font-weight:600;white-space:nowrap}
.groups{display:grid;grid-template-columns:repeat(auto-fit,minmax(145px,1fr));gap:.7rem;list-style:none;padding:0}
.groups a{display:block;height:100%;border:1px solid var(--line);border-top:4px solid var(--tone);border-radius:8px;
padding:.6rem .8rem;color:inherit;text-decoration:none;background:var(--card)}
.groups a:hover,.groups a:focus-visible{border-color:var(--tone)}
.groups b{display:block}
.chain{list-style:none;padding:0;margin:.5rem 0}
.chain li{display:grid;grid-template-columns:8.5rem 6.5rem 1fr;gap:.6rem;padding:.45rem .8rem;background:var(--card);
border:1px solid var(--line);border-radius:8px;position:relative;margin-bottom:1.1rem;align-items:baseline}
.chain li:not(:last-child)::after{content:"↓";position:absolute;left:1.4rem;bottom:-1.32rem;color:var(--soft)}
.chain code{display:block;background:none;padding:0}
.scroll{overflow-x:auto;background:linear-gradient(90deg,var(--paper) 40%,transparent) 0 0/2.5rem 100% no-repeat local,
linear-gradient(-90deg,var(--paper) 40%,transparent) 100% 0/2.5rem 100% no-repeat local,
linear-gradient(90deg,var(--line),transparent) 0 0/.8rem 100% no-repeat scroll,
linear-gradient(-90deg,var(--line),transparent) 100% 0/.8rem 100% no-repeat scroll}
table{border-collapse:collapse;width:100%;font-size:.93rem}
th,td{text-align:left;vertical-align:top;padding:.42rem .7rem .42rem 0;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:600;font-size:.85rem}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
details{margin:.6rem 0}
summary{cursor:pointer;padding:.2rem 0}
summary:focus-visible,a:focus-visible{outline:2px solid var(--mark);outline-offset:2px}
dl{display:grid;grid-template-columns:minmax(8rem,max-content) 1fr;gap:.25rem 1rem;margin:0;font-size:.93rem}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
figure{margin:.6rem 0}
svg.figure{font:11px system-ui,sans-serif;display:block}
svg text{fill:var(--ink)}svg .number,svg .axis{fill:var(--soft);font-size:10px}
svg .strong{fill:var(--ink);font-weight:600}
svg .frame{fill:none;stroke:var(--ink);stroke-width:1.8}svg .same{fill:var(--line)}
svg .band{fill:var(--card)}svg .grid{stroke:var(--line)}
svg line.bar{stroke:var(--warn);stroke-width:2;stroke-dasharray:5 3}
svg text.bar{fill:var(--warn);font-size:10px;font-weight:600}
svg .dot{fill:var(--mark)}svg .ring{fill:var(--paper);stroke:var(--mark);stroke-width:1.8}
svg .cross{stroke:var(--fail);stroke-width:2.4;fill:none}
@media (max-width:640px){.chain li{grid-template-columns:1fr auto}.chain div{grid-column:1/-1}
main{padding:1.2rem .9rem 3rem}h1{font-size:1.4rem}
.groups{grid-template-columns:1fr 1fr}}
@media print{main{max-width:none;padding:0}details:not([open])>*{display:block}}
"""
    + _shades(_LIGHT, dark_text="#1d2430", light_text="#fff", turn=6, rising=True)
    + "@media (prefers-color-scheme:dark){"
    + _shades(_DARK, dark_text="#e4e8ef", light_text="#0c1017", turn=7, rising=True)
    + "}\n"
)
