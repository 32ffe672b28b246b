"""How all pages look, light and dark: colours, letters, cards and tables. Each page adds its own to it."""

COMMON = """:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --ink: #16202c; --soft: #5c6a7a;
  --line: #dde2e8; --rest: #c3cad3; --chosen: #0b7a55; --within: #2f6fde; --outside: #b3472f; }
@media (prefers-color-scheme: dark) { :root { --page: #11161c; --card: #1a2129; --ink: #e8edf2;
  --soft: #95a3b3; --line: #2c3641; --rest: #46525f; --chosen: #3ecf9a; --within: #7fa8f5;
  --outside: #ee8a70; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
h3 { font-size: .8rem; font-weight: 600; margin: 0 0 .5rem; color: var(--soft); display: flex;
  justify-content: space-between; align-items: baseline; gap: .5rem; }
.about { margin: .35rem 0 0; color: var(--soft); font-size: .9rem; overflow-wrap: anywhere; }
.verdict { font-size: 1.2rem; margin: .75rem 0 1.75rem; }
.card, figure, .table, pre { background: var(--card); border: 1px solid var(--line); border-radius: 12px; }
.card { padding: 1.1rem 1.25rem; }
.card p { margin: 0; }
.card .note { margin-top: .7rem; color: var(--soft); font-size: .9rem; }
figure { margin: 0; padding: 1rem; overflow-x: auto; }
svg text { fill: var(--soft); font-size: 13px; }
svg .axis { stroke: var(--line); }
.legend { color: var(--soft); font-size: .85rem; margin: .6rem 0 0; }
.legend b { font-weight: 600; margin-right: 1rem; white-space: nowrap; }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .93rem; }
th, td { text-align: right; padding: .6rem .7rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
tr:last-child td { border-bottom: 0; }
th { color: var(--soft); font-weight: 600; font-size: .8rem; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
small { color: var(--soft); font-weight: 400; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.25rem; margin: 1rem 0 0;
  font-size: .9rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
"""
