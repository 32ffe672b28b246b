"""How the page looks, beside what all pages share."""

from string import Template

from monitoring.style import COMMON

_TEXT = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
$common:root { --third: #7c53d6; }
@media (prefers-color-scheme: dark) { :root { --third: #ab8df0; } }
.yes { color: var(--chosen); } .no { color: var(--outside); }
.verdict { font-size: 1.45rem; font-weight: 650; line-height: 1.35; overflow-wrap: anywhere; }
.cards { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1rem; }
.card .figure { font-size: 1.7rem; font-weight: 650; line-height: 1.25; letter-spacing: -.02em;
  font-variant-numeric: tabular-nums; }
.card.wrong { border-color: var(--outside); }
.card.wrong .figure, .card.wrong strong { color: var(--outside); }
.plot { width: 100%; min-width: 560px; height: auto; display: block; }
.plot polyline { fill: none; stroke-width: 2.2; stroke-linejoin: round; }
.plot .bound { stroke: var(--outside); stroke-width: 1.5; stroke-dasharray: 6 5; }
.plot .bound-label { fill: var(--outside); }
.plot .expected { stroke-width: 1.2; stroke-dasharray: 3 4; opacity: .8; }
polyline.drift, line.drift { stroke: var(--within); } circle.drift { fill: var(--within); }
polyline.quality, line.quality { stroke: var(--chosen); } circle.quality { fill: var(--chosen); }
polyline.agreement, line.agreement { stroke: var(--third); } circle.agreement { fill: var(--third); }
.legend .drift { color: var(--within); } .legend .quality { color: var(--chosen); }
.legend .agreement { color: var(--third); }
figure + figure { margin-top: 1rem; } figcaption { font-weight: 600; margin-bottom: .4rem; }
.changes { display: grid; grid-template-columns: repeat(2, 1fr); gap: 1rem; }
.changes h3 { color: var(--ink); font-size: 1rem; overflow-wrap: anywhere; }
.changes p { margin: 0 0 .6rem; color: var(--soft); font-size: .9rem; }
.changes .table { border: 0; border-radius: 0; }
.bars td, .bars th { padding: .18rem .5rem; border: 0; font-size: .85rem; font-weight: 400; }
.bars td:last-child { width: 45%; } .bars thead th { font-weight: 600; }
.bar { display: block; width: 100%; height: 6px; margin: 2px 0; }
rect.before, .swatch.before { fill: var(--rest); background: var(--rest); }
rect.now, .swatch.now { fill: var(--within); background: var(--within); }
.swatch { display: inline-block; width: .7em; height: .7em; border-radius: 2px; margin-right: .35em; }
.examples td { white-space: normal; overflow-wrap: anywhere; text-align: left; vertical-align: top; }
.examples th { text-align: left; vertical-align: top; }
.examples tbody th { font-size: .93rem; overflow-wrap: anywhere; white-space: normal; min-width: 7rem; }
.examples img { max-width: 100%; height: auto; image-rendering: pixelated; border-radius: 4px; display: block;
  background: var(--rest); margin-bottom: .3rem; }
tbody th { text-align: left; color: var(--ink); font-size: .93rem; } details { margin-top: .75rem; }
summary { cursor: pointer; color: var(--soft); } section > ul { margin: 0; padding-left: 1.2rem; }
:focus-visible { outline: 2px solid var(--within); outline-offset: 2px; }
@media (max-width: 860px) {
  main { padding: 1.5rem 1rem 3rem; } .verdict { font-size: 1.2rem; }
  .cards { grid-template-columns: 1fr 1fr; gap: .7rem; } .changes { grid-template-columns: 1fr; }
  .card { padding: .8rem .9rem; } .card .figure { font-size: 1.3rem; }
}
@media (max-width: 600px) {
  .plot { min-width: 0; } .plot text { font-size: 28px; } .plot .between { display: none; }
  .bars td, .bars th { padding: .18rem .25rem; font-size: .8rem; }
}
</style>
</head>
<body>
<main>
<h1>$model</h1>
<p class="about">$about</p>
<p class="verdict $tone" role="status">$verdict</p>
<section class="cards" aria-label="at a glance">$cards</section>
$sections
</main>
</body>
</html>
""")

PAGE = Template(_TEXT.safe_substitute(common=COMMON))
