"""What Streamlit's own options cannot style, as CSS. Nothing else in the app names elements of its pages.

The classes `st-key-...` are Streamlit's public ones, from the keys of containers and widgets. What stands behind them
in `READABLE` is not: it depends on how this version builds a multiselect.
"""

# The table comes first for the keyboard and on phones; on a wide screen it stands to the right of the chart.
# There the panel with the budget is open, too; on a phone a line says where it is.
TABLE_FIRST = """<style>@media (min-width: 641px) {
  div.st-key-board { flex-direction: row-reverse; }
  .st-key-budget_hint { display: none; }
}</style>"""

# Parallel coordinates have many axes, whose names need space: on a phone the chart scrolls sideways. The fold of its
# table stays where it is: with the focus on it, the arrow keys scroll the chart.
WIDE = """<style>@media (max-width: 640px) {
  .st-key-wide { overflow-x: auto; display: block; }
  .st-key-parallel { min-width: 960px; }
  .st-key-w_inside { position: sticky; left: 0; }
}</style>"""

# Streamlit writes the chosen options in white on the dark theme's light blue, which is hard to read. Without this rule
# `test_nothing_is_inaccessible[dark]` fails.
READABLE = "<style>.st-key-w_compare span[title] { color: #0B1117; }</style>"
