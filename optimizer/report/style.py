"""How the page looks."""

from string import Template

from monitoring.style import COMMON
from optimizer.search.plan import TREATMENTS

# On white and on black, for treatments in their order.
_HUES = (
    ("#0b8494", "#45c4d2"),
    ("#2e8b3d", "#79cf7f"),
    ("#628000", "#a5d24a"),
    ("#2f6fde", "#7fa8f5"),
    ("#7c53d6", "#ab8df0"),
    ("#c2489b", "#e07fc0"),
    ("#a07800", "#e5c04a"),
    ("#bf5f15", "#f0a063"),
    ("#787046", "#c0b68a"),
    ("#47688a", "#9cb9d6"),
    ("#8a5a44", "#d3a58f"),
    ("#c43d5b", "#f28ca3"),
)
_TEXT = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$name, pressed</title>
<style>
$common:root { --float: #7d8896;
  $hues_in_light }
@media (prefers-color-scheme: dark) { :root { --float: #8a97a5;
  $hues_in_dark } }
.cards { display: grid; grid-template-columns: 1fr 1fr 1.55fr 1fr; gap: 1rem; }
.card .before, .card .after { line-height: 1.25; letter-spacing: -.02em; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.card .before { font-size: 1.35rem; color: var(--soft); }
.card .after { font-size: 2.2rem; font-weight: 650; }
.card .badge { color: var(--chosen); font-size: 1rem; font-weight: 650; white-space: nowrap; }
.card .worse { color: var(--outside); }
.card .floor { margin-top: .5rem; padding-left: .6rem; border-left: 3px solid var(--outside);
  font-size: .9rem; }
.bar, .gauge, .strip, .cell { display: block; width: 100%; overflow: visible; }
.bar { height: 6px; margin: .2rem 0 .5rem; }
rect.before, rect.as-float { fill: var(--rest); } rect.after { fill: var(--chosen); }
.gauge { height: 30px; margin: .65rem 0 -.2rem; } .gauge text { font-size: 11px; }
.allowed { fill: var(--chosen); opacity: .1; }
.interval { fill: var(--chosen); opacity: .45; }
.gauge .drop { stroke: var(--chosen); stroke-width: 3; }
.bound { stroke: var(--outside); stroke-width: 1.5; }
.plot { width: 100%; min-width: 600px; height: auto; display: block; }
.plot .bound { stroke-dasharray: 6 5; }
.plot .bound-label { fill: var(--outside); }
.plot .front { stroke: var(--ink); opacity: .35; stroke-width: 2; stroke-linecap: round; }
.plot .label { fill: var(--ink); }
.plot .mark { fill: var(--card); font-size: 11px; font-weight: 700; }
.plot circle { stroke: var(--card); stroke-width: 2; }
.chosen { fill: var(--chosen); } .within { fill: var(--within); } .outside { fill: var(--outside); }
.legend .chosen { color: var(--chosen); } .legend .within { color: var(--within); }
.legend .outside { color: var(--outside); } .legend .front { color: var(--soft); white-space: normal; }
.long { max-height: 60rem; overflow-y: auto; }
.candidates td:first-child { color: var(--soft); }
.candidates :is(th, td):nth-child(2) { text-align: left; white-space: normal; min-width: 12rem; }
.candidates td:last-child { white-space: normal; }
tr.chosen td { font-weight: 650; } tr.chosen td:last-child { color: var(--chosen); }
tr.outside td:last-child { color: var(--outside); }
.chip { display: inline-block; vertical-align: middle; padding: 0 .5rem; border-radius: 99px;
  color: var(--card); font-size: .8rem; font-weight: 600; background: var(--kind); }
.strip { height: 34px; }
.strip rect { stroke: var(--card); stroke-width: 1; }
.strip rect, .cell rect { fill: var(--kind); } .cell .as-float { fill: var(--rest); opacity: .6; }
.worst th { white-space: normal; }
.layers { min-width: 52rem; }
.layers td { padding: 0 .7rem; border: 0; line-height: 1.45; font-size: .85rem; }
.layers .chip { font-size: .7rem; line-height: 1.3; }
.layers th { white-space: normal; } .layers tr:hover td { background: var(--page); }
.layers thead th { position: sticky; top: 0; background: var(--card); z-index: 1; border: 0;
  box-shadow: 0 1px var(--line); }
.layers :is(th, td):nth-child(n + 2) { text-align: left; }
.layers td:nth-child(3) { width: 22%; } .layers :is(th:nth-child(4), td:nth-child(5)) { width: 30%; }
.layers td:nth-child(4) { color: var(--soft); font-size: .8rem; }
.cell { height: 16px; } .cell text { font-size: 11px; font-weight: 400; }
.cell circle { fill: var(--card); stroke: var(--kind); stroke-width: 1.5; }
.cell circle.taken { fill: var(--kind); }
#layers > * + * { margin-top: 1rem; }
ol { padding-left: 1.4rem; margin: 0; } .passes { columns: 2 18rem; }
pre { padding: 1rem 1.25rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .9rem; margin: 0; }
.t-float { --kind: var(--float); } $kinds
@media (max-width: 860px) {
  .cards { grid-template-columns: 1fr 1fr; }
  .card { padding: .9rem 1rem; } .card:nth-child(n + 3) { grid-column: 1 / -1; }
  .card .before { font-size: 1.15rem; } .card .after { font-size: 1.7rem; }
}
@media print { .long { max-height: none; } }
</style>
</head>
<body>
<main>
<h1>$name</h1>
<p class="about">$about</p>
<p class="verdict">$verdict</p>
<section class="cards" aria-label="before and after">$cards</section>
$sections
</main>
</body>
</html>
""")

PAGE = Template(
    _TEXT.safe_substitute(
        common=COMMON,
        hues_in_light=" ".join(f"--hue-{at}: {light};" for at, (light, _) in enumerate(_HUES)),
        hues_in_dark=" ".join(f"--hue-{at}: {dark};" for at, (_, dark) in enumerate(_HUES)),
        kinds=" ".join(f".t-{name} {{ --kind: var(--hue-{at}); }}" for at, name in enumerate(TREATMENTS)),
    )
)
