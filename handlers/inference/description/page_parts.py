"""The page's style and script, whose digests its Content-Security-Policy names."""

STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --ink: #16202c; --soft: #5c6a7a;
  --line: #dde2e8; --good: #0b7a55; --bad: #b3472f; --on-good: #fff; }
@media (prefers-color-scheme: dark) { :root { --page: #11161c; --card: #1a2129; --ink: #e8edf2;
  --soft: #95a3b3; --line: #2c3641; --good: #3ecf9a; --bad: #ee8a70; --on-good: #11161c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
.about { margin: .35rem 0 0; color: var(--soft); font-size: .9rem; overflow-wrap: anywhere; }
.table + .about { margin-top: 1.5rem; }
a { color: inherit; }
.table, form, pre, textarea { background: var(--card); border: 1px solid var(--line); border-radius: 12px; }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; }
th, td { text-align: left; padding: .6rem 1rem; border-bottom: 1px solid var(--line); }
tr:last-child td { border-bottom: 0; }
th { color: var(--soft); font-weight: 600; font-size: .8rem; }
code, pre, textarea { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .85rem; }
form { padding: 1.1rem 1.25rem; }
form + form { margin-top: 1rem; }
form > .about { margin: 0 0 .75rem; }
pre, textarea { padding: .75rem 1rem; margin: 0 0 .75rem; white-space: pre-wrap; overflow-wrap: anywhere;
  background: var(--page); color: var(--ink); }
textarea { display: block; width: 100%; height: 11rem; resize: vertical; }
.answer { margin: .75rem 0 0; max-height: 20rem; overflow-y: auto; }
input { display: block; margin: 0 0 .75rem; max-width: 100%; font: inherit; color: var(--soft); }
button { font: inherit; font-weight: 600; color: var(--on-good); background: var(--good); border: 0;
  border-radius: 8px; padding: .4rem 1.2rem; cursor: pointer; }
button:disabled { opacity: .5; cursor: default; }
:focus-visible { outline: 2px solid var(--good); outline-offset: 2px; }
output { margin-left: .75rem; font-variant-numeric: tabular-nums; color: var(--soft); }
.good output { color: var(--good); } .bad output { color: var(--bad); }
"""

# The page may lie below a prefix (a stage, an emulator's /_apis/ID): requests go beside it.
SCRIPT = """
"use strict";
const base = location.pathname.replace(/\\/docs\\/?$/, "");
const longest = 20000;
for (const place of document.querySelectorAll(".url")) place.textContent = location.origin + base;
for (const form of document.forms) {
  const [given, button, state, answer] =
    ["textarea, input", "button", "output", ".answer"].map((name) => form.querySelector(name));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    state.textContent = "waiting";
    answer.hidden = true;
    form.className = "";
    const start = performance.now();
    try {
      const response = await fetch(base + form.dataset.path, {
        method: "POST",
        headers: { "content-type": given.files ? given.files[0].type : "application/json" },
        body: given.files ? given.files[0] : given.value,
      });
      const text = await response.text();
      const time = (performance.now() - start).toFixed(1);
      state.textContent = `${response.status} in ${time} ms, ${text.length} characters`;
      form.className = response.ok ? "good" : "bad";
      answer.textContent = text.length > longest ? `${text.slice(0, longest)} …` : text;
      answer.hidden = false;
    } catch (error) {
      state.textContent = `no answer: ${error.message}`;
      form.className = "bad";
    }
    button.disabled = false;
  });
}
"""
