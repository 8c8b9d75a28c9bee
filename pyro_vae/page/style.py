"""The looks of a page: on a wide screen, on a phone and on paper, light and dark."""

STYLE = """
:root { --paper: #ffffff; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --box: #f6f8fa;
  --link: #0550ae; --blue: #0072b2; --orange: #d55e00; --grey: #666666;
  --pass: #116329; --warn: #8a4600; --fail: #a40e26; --none: #57606a; }
@media screen and (prefers-color-scheme: dark) {
  :root { --paper: #12161b; --ink: #e6edf3; --soft: #a9b4be; --line: #3b434c; --box: #1c2229;
    --link: #79b8ff; --blue: #4fb3e8; --orange: #ff9d4d; --grey: #a8a8a8;
    --pass: #6fdd8b; --warn: #f2b25c; --fail: #ff9492; --none: #a9b4be; }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: 1.5rem clamp(1rem, 4vw, 3rem) 4rem; }
h1, h2, h3 { line-height: 1.25; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; margin: 0 0 0.25rem; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 0.75rem; padding-top: 0.75rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.6rem 0 0.5rem; }
p, li { max-width: 46rem; overflow-wrap: anywhere; }
p { margin: 0.6rem 0; }
p.lead, p.soft { color: var(--soft); }
p.lead { margin-top: 0; }
a { color: var(--link); }
nav { margin: 1.25rem 0 0; }
nav ul { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; list-style: none;
  margin: 0; padding: 0; }
code, pre { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: 0.875em; }
code { background: var(--box); padding: 0.1em 0.3em; border-radius: 4px; overflow-wrap: anywhere; }
pre { background: var(--box); padding: 0.8rem 1rem; border-radius: 6px; overflow-x: auto;
  line-height: 1.45; }
.verdict { border-left: 0.35rem solid var(--none); background: var(--box); border-radius: 6px;
  padding: 0.6rem 1.1rem; }
.verdict ol { margin: 0.25rem 0; padding-left: 1.2rem; }
.verdict li { margin: 0.4rem 0; }
.verdict.pass { border-color: var(--pass); }
.verdict.warn { border-color: var(--warn); }
.verdict.fail { border-color: var(--fail); }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: 0.92rem; }
caption { text-align: left; color: var(--soft); padding-bottom: 0.35rem; }
th, td { text-align: left; vertical-align: top; padding: 0.35rem 1rem 0.35rem 0;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-weight: 600; }
tbody th { font-weight: 500; }
td.number { font-variant-numeric: tabular-nums; }
.badge.warn { color: var(--warn); font-weight: 600; }
.badge.fail { color: var(--fail); font-weight: 600; }
.grid { display: grid; gap: 1.25rem 2rem; margin: 1rem 0;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 18.5rem), 1fr)); }
.grid.wide { grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); }
.grid.four { grid-template-columns: repeat(auto-fill, minmax(min(100%, 13rem), 1fr)); }
figure { margin: 0; min-width: 0; }
figure svg { display: block; width: 100%; height: auto; max-width: 34rem; }
figcaption { color: var(--soft); font-size: 0.875rem; margin-top: 0.35rem;
  overflow-wrap: anywhere; }
details { margin: 1rem 0; }
summary { cursor: pointer; color: var(--link); }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
@media (max-width: 40rem) {
  body { font-size: 15px; }
  table.checks thead { display: none; }
  table.checks, table.checks tbody, table.checks caption, table.checks tr, table.checks th,
  table.checks td {
    display: block; border: 0; padding: 0; }
  table.checks tr { border-bottom: 1px solid var(--line); padding: 0.55rem 0; }
  table.checks td:empty { display: none; }
  table.checks td[data-head]:not([data-head="meaning"])::before {
    content: attr(data-head) ": "; color: var(--soft); }
}
@page { margin: 16mm 14mm; }
@media print {
  html { font-size: 10pt; }
  body { font-size: 1rem; }
  main { max-width: none; padding: 0; }
  nav, details { display: none; }
  h2, h3, caption { break-after: avoid; }
  figure, tr, pre, .verdict, table:not(.checks) { break-inside: avoid; }
  .scroll, pre { overflow: visible; white-space: pre-wrap; }
  table, td, th { white-space: normal; }
  .grid { grid-template-columns: repeat(3, 1fr); gap: 4mm 6mm; }
  .grid.wide { grid-template-columns: repeat(2, 1fr); }
  .grid.four { grid-template-columns: repeat(4, 1fr); }
}
"""
