/** The viewer's style sheet. Colours are variables that the theme sets. */

export const STYLE = `
:host { all: initial; display: block; height: 100%; min-height: 320px; }
*, *::before, *::after { box-sizing: border-box; }
.viewer { container: viewer / inline-size; height: 100%; font: 13px/1.4 system-ui, -apple-system, "Segoe UI", sans-serif;
  color: var(--ink); background: var(--paper); -webkit-font-smoothing: antialiased; position: relative; overflow: hidden; }
.grid { display: grid; height: 100%; grid-template: auto auto minmax(0, 1fr) auto / auto minmax(0, 1fr) auto;
  grid-template-areas: "head head head" "frames frames frames" "rail centre panel" "strip strip strip"; }
button, input, select { font: inherit; color: inherit; margin: 0; }
button { background: none; border: 0; padding: 0; cursor: pointer; }
button:disabled { cursor: default; opacity: .4; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; border-radius: 4px; }
.graph:focus-visible { outline-offset: -2px; border-radius: 0; }
bdi.token { unicode-bidi: isolate; white-space: pre; }
.soft { color: var(--soft); }
.number { font-variant-numeric: tabular-nums; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

.head { grid-area: head; display: flex; align-items: center; gap: 8px 14px; padding: 7px 12px; min-width: 0;
  background: var(--panel); border-bottom: 1px solid var(--line); }
.names { flex: 1 1 0; min-width: 0; display: flex; align-items: baseline; gap: 10px; white-space: nowrap; overflow: hidden; }
.title { font-weight: 650; font-size: 14px; margin: 0; overflow: hidden; text-overflow: ellipsis; flex: 0 1 auto; }
.subtitle { color: var(--soft); overflow: hidden; text-overflow: ellipsis; flex: 1 1 0; min-width: 0; }
.segments { display: inline-flex; background: var(--raised); border: 1px solid var(--line); border-radius: 7px; padding: 1px; flex: none; }
.segments button { padding: 3px 10px; border-radius: 5px; color: var(--soft); white-space: nowrap; }
.segments button:hover { color: var(--ink); }
.segments button[aria-pressed="true"] { background: var(--accent); color: var(--paper); font-weight: 550; }
.segments.wide { display: flex; } .segments.wide button { flex: 1 1 auto; padding: 3px 4px; font-size: 12px; }
.icon { width: 28px; height: 28px; border-radius: 7px; border: 1px solid var(--line); background: var(--raised); flex: none;
  display: inline-grid; place-items: center; font-size: 14px; line-height: 1; }
.icon:hover { border-color: var(--soft); }
.icon[aria-pressed="true"] { border-color: var(--accent); color: var(--accent); }
.search { width: 128px; padding: 4px 8px; border: 1px solid var(--line); border-radius: 7px; background: var(--raised); flex: 0 1 auto; min-width: 70px; }
.search::placeholder { color: var(--soft); opacity: 1; }

.export { position: fixed; inset: auto; margin: 0; width: 318px; padding: 4px 14px 12px; border: 1px solid var(--line); border-radius: 9px; background: var(--panel); color: var(--ink);
  font: 13px/1.4 system-ui, -apple-system, "Segoe UI", sans-serif; box-shadow: 0 6px 24px rgb(0 0 0 / .25); }
.export .row { display: flex; margin-bottom: 6px; flex-wrap: wrap; gap: 5px; align-items: center; }
.export button, .export input { padding: 2px 8px; border: 1px solid var(--line); border-radius: 6px; background: var(--raised); } .export button:hover { border-color: var(--soft); }
.export input { width: 58px; } .export .note { overflow-wrap: anywhere; } .saved { display: block; max-width: 100%; }
.frames { grid-area: frames; display: flex; align-items: center; gap: 6px; padding: 5px 12px; overflow-x: auto; scrollbar-width: thin;
  border-bottom: 1px solid var(--line); background: var(--panel); min-width: 0; }
.frames:empty { display: none; }
.chip { padding: 2px 10px; border-radius: 999px; border: 1px solid var(--line); background: var(--raised); white-space: nowrap; flex: none; max-width: 320px;
  overflow: hidden; text-overflow: ellipsis; }
.chip:hover { border-color: var(--soft); }
.chip[aria-pressed="true"] { border-color: var(--accent); box-shadow: inset 0 0 0 1px var(--accent); font-weight: 550; }
.chip .dot { display: inline-block; width: 7px; height: 7px; border-radius: 50%; margin-inline-end: 6px; vertical-align: 1px; }
.frames input[type=range] { flex: 1 1 120px; min-width: 80px; }

.spark { display: flex; align-items: center; gap: 6px; flex: 0 1 360px; min-width: 0; font-size: 12px; } .spark:empty { display: none; }
.spark svg { flex: 1 1 120px; min-width: 60px; height: 26px; } .spark select { max-width: 110px; background: var(--raised); border: 1px solid var(--line); border-radius: 5px; }
.spark polyline { fill: none; stroke: var(--accent); stroke-width: 1.5; vector-effect: non-scaling-stroke; } .spark line { stroke: var(--mark); stroke-width: 1.5; vector-effect: non-scaling-stroke; }

.rail { grid-area: rail; width: 236px; padding: 4px 12px 12px; overflow: hidden auto; border-right: 1px solid var(--line); background: var(--panel); scrollbar-width: thin; }
.panel { grid-area: panel; width: 304px; padding: 4px 14px 14px; overflow: hidden auto; border-left: 1px solid var(--line); background: var(--panel); scrollbar-width: thin; }
.grid[data-rail=closed] .rail, .grid[data-panel=closed] .panel { display: none; }
h2 { clear: left; font-size: 11px; letter-spacing: .06em; text-transform: uppercase; color: var(--soft); font-weight: 600; margin: 14px 0 6px; }
h3 bdi.token { white-space: pre-wrap; }
h3 { font-size: 15px; margin: 10px 0 2px; font-weight: 600; overflow-wrap: anywhere; }
p { margin: 4px 0; }
.note { color: var(--soft); font-size: 12px; }

.centre { grid-area: centre; display: grid; grid-template-rows: minmax(0, 1fr) auto; min-width: 0; min-height: 0; }
.stage { position: relative; overflow: hidden; background: var(--paper); min-height: 60px; }
.stage canvas { position: absolute; inset: 0; width: 100%; height: 100%; display: block; }
.graph { touch-action: none; cursor: grab; } .graph:active { cursor: grabbing; } .graph[data-over=yes] { cursor: pointer; }
.labels { pointer-events: none; }
.tip { position: absolute; left: 0; top: 0; max-width: 260px; padding: 4px 8px; border-radius: 6px; background: var(--raised); border: 1px solid var(--line);
  pointer-events: none; font-size: 12px; box-shadow: 0 2px 10px rgb(0 0 0 / .18); overflow-wrap: anywhere; }
.tip[hidden] { display: none; }
.fault { position: absolute; inset: 0; display: grid; place-items: center; padding: 24px; background: var(--paper); overflow: auto; }
.fault[hidden] { display: none; }
.fault > div { max-width: 460px; padding: 18px 20px; border: 1px solid var(--line); border-left: 4px solid var(--minus); border-radius: 8px; background: var(--panel); }
.status { display: flex; flex-wrap: wrap; align-items: center; gap: 2px 16px; padding: 5px 12px; border-top: 1px solid var(--line); background: var(--panel); font-size: 12px; min-height: 30px; }
.status .counts { flex: 1 1 100%; min-width: 0; }
.status b { font-weight: 650; font-variant-numeric: tabular-nums; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 12px; color: var(--soft); align-items: center; }
.legend span { display: inline-flex; align-items: center; gap: 5px; white-space: nowrap; }
.legend i { display: inline-block; height: 3px; width: 18px; border-radius: 2px; }
.legend i.wedge { height: 8px; width: 34px; clip-path: polygon(0 44%, 100% 0, 100% 100%, 0 56%); border-radius: 0; }
.legend i.dashed { background: repeating-linear-gradient(90deg, var(--minus) 0 5px, transparent 5px 8px) !important; }

dialog { border: 1px solid var(--line); border-radius: 10px; padding: 0; max-width: min(560px, 92cqw); max-height: 88%; color: var(--ink); background: var(--panel); font: inherit; box-shadow: 0 12px 40px rgb(0 0 0 / .35); }
dialog > div { padding: 6px 20px 16px; } dialog .icon { float: right; margin-top: 8px; } dialog::backdrop { background: rgb(0 0 0 / .4); }
.help { display: grid; grid-template-columns: minmax(90px, auto) 1fr; gap: 4px 16px; margin: 0; font-size: 12.5px; } .help dd { margin: 0; } kbd { font: inherit; font-weight: 600; }

.table { display: grid; grid-template-rows: auto minmax(0, 1fr); min-width: 0; min-height: 0; background: var(--paper); }
.table .tools { display: flex; flex-wrap: wrap; gap: 5px 9px; align-items: center; padding: 6px 10px; border-bottom: 1px solid var(--line); font-size: 12px; }
.table .tools .search { flex: 0 1 190px; } .table .tools > span { flex: 1 1 auto; }
.rows { overflow: auto; scrollbar-width: thin; min-height: 0; } .long { min-width: min-content; }
.table table { position: sticky; top: 0; border-collapse: separate; border-spacing: 0; width: 100%; font-size: 12.5px; }
.table tr { height: 24px; } .table tbody tr { cursor: pointer; } .table tbody tr:hover td { background: var(--raised); }
.table th, .table td { padding: 0 8px; text-align: start; white-space: nowrap; border-bottom: 1px solid var(--line); height: 24px; }
.table th { background: var(--panel); padding: 0; } .table th button { width: 100%; height: 23px; padding: 0 8px; text-align: inherit; color: var(--soft); font-weight: 600; white-space: nowrap; }
.table th.number, .table td.number { text-align: right; } .table td.fell { color: var(--minus); } .table td.rose { color: var(--plus); }
.table th[aria-sort] button { color: var(--ink); } .table th[aria-sort=ascending] button::after { content: " ↑"; } .table th[aria-sort=descending] button::after { content: " ↓"; }
.table tr[aria-selected=true] td { box-shadow: inset 0 -2px var(--mark), inset 0 2px var(--mark); } .table td.end bdi:hover { text-decoration: underline; }
.table table:focus-visible { outline: none; } .table table:focus-visible .here { outline: 2px solid var(--accent); outline-offset: -2px; }

.matrix { display: grid; gap: 2px; overflow-x: auto; scrollbar-width: thin; padding: 2px; margin: -2px; }
.matrix .row-name, .matrix .head-name { font-size: 10.5px; color: var(--soft); border-radius: 4px; min-width: 0; white-space: nowrap; text-align: center; }
.matrix .row-name { text-align: left; padding-left: 2px; overflow: hidden; }
.matrix .row-name:hover, .matrix .head-name:hover { color: var(--ink); background: var(--raised); }
.matrix [aria-pressed=false].row-name, .matrix [aria-pressed=false].head-name { text-decoration: line-through; }
.matrix .row-name[data-here=yes] { background: var(--accent); color: var(--paper); font-weight: 600; }
.matrix .head-name { border-top: 3px solid var(--hue, var(--line)); border-radius: 2px 2px 4px 4px; }
.matrix .head-name[data-plain=yes] { text-decoration: none; opacity: .8; }
.cell { position: relative; aspect-ratio: 1; border-radius: 3px; overflow: hidden; background: var(--raised); box-shadow: 0 0 0 1px var(--line); }
.cell canvas { width: 100%; height: 100%; display: block; image-rendering: pixelated; }
.cell[data-out=true]::after { content: ""; position: absolute; inset: 0; background: linear-gradient(to top right, transparent 44%, var(--mark) 45% 55%, transparent 56%), linear-gradient(to bottom right, transparent 44%, var(--mark) 45% 55%, transparent 56%); }
.cell[data-off=yes] { opacity: .28; }
.cell:hover { box-shadow: 0 0 0 1.5px var(--ink); }
.cell[aria-pressed=true] { box-shadow: 0 0 0 2px var(--mark); }

.matrix-view { position: relative; contain: strict; min-width: 0; background: var(--paper); }
.heads-view { position: absolute; inset: 0; display: grid; grid-template-rows: auto minmax(0, 1fr); }
.tools { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 10px; padding: 7px 12px 3px; font-size: 12px; }
.tools .segments[hidden], .tools .segments :disabled, .legend[hidden] { display: none; }
.tools .formula { flex: 1 1 calc(100% - 270px); margin: 0; } .tools .legend { margin-inline-start: auto; font-size: 11.5px; }
.legend i.scale { width: 60px; height: 9px; }
.legend i.square { width: 11px; height: 11px; box-shadow: inset 0 0 0 1px var(--rim); } .legend i.unknown { background: var(--plane); }
.heads-room { overflow: auto; padding: 8px 12px 12px; scrollbar-width: thin; }
.heads-grid { display: grid; gap: 8px; justify-content: center; position: relative; }
.layer-name { grid-column: 1; font-size: 11.5px; color: var(--soft); align-self: center; }
.head-cell { display: grid; grid-template: auto 14px 3px / auto minmax(0, 1fr); gap: 1px 4px; text-align: start; font-size: 11px; line-height: 14px; min-width: 0; }
.head-cell canvas, .head-cell i { grid-column: 1 / 3; border-radius: 3px; }
.head-cell canvas { width: var(--size); height: var(--size); image-rendering: pixelated; box-shadow: 0 0 0 1px var(--line); }
.head-cell:hover canvas { box-shadow: 0 0 0 1.5px var(--ink); } .head-cell[aria-current=true] canvas { box-shadow: 0 0 0 2px var(--accent); }
.head-cell .number { text-align: end; color: var(--soft); overflow: hidden; } [data-small=true] .number, [data-measured=false] i { display: none; }
.head-cell i { background: linear-gradient(var(--accent) 0 0) 0 / var(--share) no-repeat var(--line); }
.head-cell .under { grid-column: 1 / 3; font-size: 10.5px; line-height: 12px; color: var(--soft); overflow: hidden; overflow-wrap: anywhere; display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; }
[data-roles=true] .head-cell { grid-template-rows: auto 14px 24px 3px; } .role-name { grid-column: 1 / -1; font-weight: 600; font-size: 12px; line-height: 16px; }
.heads-view > .tip { white-space: pre-line; }
.cells-room { position: relative; overflow: hidden; }
.cells { position: absolute; inset: 0; width: 100%; height: 100%; touch-action: none; cursor: crosshair; } .cells:focus-visible { outline-offset: -2px; }
.pane { display: grid; grid-template-rows: auto minmax(0, 1fr); min-height: 60px; min-width: 0; background: var(--paper); }
.pane-bar { display: flex; flex-wrap: wrap; gap: 5px 12px; align-items: center; padding: 6px 12px; border-bottom: 1px solid var(--line); }
.pane-bar select { background: var(--raised); border: 1px solid var(--line); border-radius: 6px; padding: 2px 6px; max-width: 190px; }
.pane-canvas { width: 100%; height: 100%; min-height: 0; display: block; } .pane-canvas[data-over=yes] { cursor: pointer; }
.chips { display: flex; flex-wrap: wrap; gap: 3px; align-items: center; }
.head-chip { min-width: 22px; padding: 0 5px; border-radius: 5px; font-size: 12px; line-height: 19px; text-align: center; border: 1px solid var(--line); border-bottom: 3px solid var(--hue); opacity: .5; }
.head-chip[aria-pressed=true] { opacity: 1; background: var(--raised); font-weight: 600; border-color: var(--hue); }
.link { color: var(--accent); font-size: 12px; padding: 0 4px; }

.neuron { grid-template-rows: auto auto minmax(40%, 1fr) minmax(0, auto); } .neuron .note { margin: 5px 14px; max-width: 640px; }
.parts { padding: 2px 14px 10px; border-top: 1px solid var(--line); min-height: 0; overflow: auto; } .parts[hidden], .pane-canvas[hidden] { display: none; }

.histogram { width: 100%; height: 54px; display: block; margin-top: 6px; }
input[type=range] { width: 100%; accent-color: var(--accent); margin: 4px 0 2px; height: 18px; }
.group { display: grid; grid-template-columns: 54px minmax(0, 1fr); gap: 3px 4px; margin-bottom: 6px; align-items: center; }
.group > .name { font-size: 12px; color: var(--soft); }
.group.tall > * { grid-column: 1 / -1; }
.checks { display: grid; grid-template-columns: 1fr 1fr; gap: 3px 8px; }
.checks label { display: flex; gap: 6px; align-items: center; font-size: 12.5px; cursor: pointer; }
.checks input { accent-color: var(--accent); }
.formula { font-size: 11.5px; color: var(--soft); margin: 0 0 4px; }

.bars { display: grid; grid-template-columns: minmax(0, auto) minmax(40px, 1fr) auto; gap: 3px 8px; align-items: center; font-size: 12.5px; }
.bars .label { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; max-width: 110px; }
.bar { height: 9px; border-radius: 3px; background: var(--raised); position: relative; overflow: hidden; box-shadow: inset 0 0 0 1px var(--line); }
.bar i { position: absolute; top: 0; bottom: 0; left: 0; }
.bar .was { width: 2px; background: var(--ink); } .wrong { color: var(--minus); overflow-wrap: anywhere; }
.role { overflow-wrap: anywhere; } .chip.out { margin: 6px 0 2px; } .knock .code { white-space: pre-wrap; } .knock .bars .label { max-width: 84px; }
.topology svg { width: 100%; display: block; touch-action: none; } .topology text { font-size: 9.5px; fill: var(--soft); } .topology path { fill: none; stroke: var(--soft); vector-effect: non-scaling-stroke; }
.topology .b0 { stroke: var(--accent); stroke-width: 2; } .topology .cycles { stroke: var(--minus); stroke-width: 2; stroke-dasharray: 5 2; } .topology .here { stroke: var(--mark); }
.keys .bars { background: var(--soft); height: 3px; vertical-align: 3px; } .keys .b0 { background: var(--accent); height: 3px; vertical-align: 3px; } .keys .cycles { background: repeating-linear-gradient(90deg, var(--minus) 0 4px, transparent 4px 6px); height: 3px; width: 16px; vertical-align: 3px; }
.bar .middle { left: 50%; width: 1px; background: var(--soft); opacity: .6; }
.facts { display: grid; grid-template-columns: auto 1fr; gap: 3px 12px; font-size: 12.5px; margin: 8px 0; }
.facts dt { color: var(--soft); } .facts dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.story { display: grid; gap: 7px; }
.story .layer { border-top: 1px solid var(--line); padding-top: 6px; display: grid; gap: 3px; }
.story .top { display: flex; align-items: center; gap: 8px; font-size: 12px; }
.story .top b { min-width: 26px; }
.shares { flex: 1; display: flex; height: 8px; border-radius: 3px; overflow: hidden; background: var(--raised); box-shadow: inset 0 0 0 1px var(--line); }
.partners { display: flex; flex-wrap: wrap; gap: 3px; font-size: 12px; align-items: center; }
.partners > span { color: var(--soft); width: 16px; text-align: center; }
.partner { border: 1px solid var(--line); border-radius: 5px; padding: 0 5px; background: var(--raised); max-width: 130px; display: inline-flex; gap: 4px; }
.partner bdi { overflow: hidden; text-overflow: ellipsis; } .partner .number { color: var(--soft); }
.partner:hover { border-color: var(--soft); }
.code { font: 11.5px/1.45 ui-monospace, monospace; background: var(--raised); border: 1px solid var(--line); border-radius: 5px; padding: 5px 7px; margin: 4px 0; overflow-x: auto; user-select: all; }
.copy { font-size: 12px; color: var(--accent); }
.keys { display: flex; flex-wrap: wrap; gap: 4px 12px; font-size: 11.5px; color: var(--soft); margin: 4px 0 8px; }
.keys i { display: inline-block; width: 9px; height: 9px; border-radius: 2px; margin-right: 4px; vertical-align: -0.5px; }
.heat { display: grid; gap: 1px; margin-top: 4px; }
.heat div { height: 13px; border-radius: 2px; box-shadow: inset 0 0 0 1px var(--line); }
.heat .name { font-size: 10px; color: var(--soft); box-shadow: none; line-height: 13px; text-align: center; overflow: hidden; }
.heat .here { box-shadow: inset 0 0 0 2px var(--mark); }
.sentence { display: flex; flex-wrap: wrap; gap: 4px 6px; align-items: center; margin: 8px 0 2px; font-size: 15px; font-weight: 600; overflow-wrap: anywhere; }
.sentence small { font-size: 12px; font-weight: 400; color: var(--soft); }
.swatch { display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin-right: 5px; }
ol.edges { list-style: none; margin: 0; padding: 0; font-size: 12.5px; } ol.edges button { text-align: start; padding: 1px 0; max-width: 100%; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; display: block; }
ol.edges button:hover { color: var(--accent); }
ul.warnings { margin: 4px 0; padding-left: 16px; font-size: 12px; color: var(--soft); }
.patch { float: left; width: 44px; height: 44px; image-rendering: pixelated; margin: 10px 10px 4px 0; border-radius: 4px; box-shadow: 0 0 0 1px var(--line); }
.back { float: right; margin-top: 9px; font-size: 12px; color: var(--accent); }

.strip { grid-area: strip; border-top: 1px solid var(--line); background: var(--panel); padding: 6px 12px; max-height: 92px; overflow: hidden auto; scrollbar-width: thin; }
.strip .line { display: flex; flex-wrap: wrap; gap: 3px; align-items: center; }
.strip .line + .line { margin-top: 5px; }
.strip .side { font-size: 11px; color: var(--soft); margin-right: 6px; min-width: 44px; }
.word { padding: 0 6px; border-radius: 5px; border: 1px solid transparent; line-height: 20px; max-width: 200px; overflow: hidden; text-overflow: ellipsis;
  background: color-mix(in oklab, var(--accent) calc(var(--share, 0%) * var(--tint)), var(--raised)); }
.word:hover { border-color: var(--soft); }
.word[aria-pressed=true] { border-color: var(--mark); box-shadow: inset 0 0 0 1px var(--mark); }
.word[data-found=yes] { outline: 2px solid var(--plus); outline-offset: -1px; }
.padding { border: 1px dashed var(--line); border-radius: 5px; padding: 0 6px; color: var(--soft); font-size: 12px; line-height: 20px; white-space: nowrap; }
.narrow { display: none; }

@container viewer (max-width: 980px) {
  .narrow { display: inline-grid; } .wide.icon { display: none; }
  .subtitle { display: none; }
  .panel { width: 280px; padding-inline: 12px; } .rail { width: 222px; padding-inline: 10px; }
}
@container viewer (max-width: 760px) {
  .head { padding: 5px 8px; gap: 6px; } .frames { padding: 4px 8px; } .strip { padding: 4px 8px; max-height: 58px; }
  .search { width: 84px; } .status { padding: 3px 8px; font-size: 11.5px; gap: 0 10px; } .legend { gap: 0 9px; font-size: 11px; } .legend i.wedge { width: 22px; } .segments button { padding: 3px 8px; }
  .title { font-size: 13px; }
}
@container viewer (max-width: 560px) {
  .grid { grid-template: auto auto minmax(45%, 1fr) minmax(0, auto) auto / minmax(0, 1fr); grid-template-areas: "head" "frames" "centre" "panel" "strip"; }
  .rail, .panel { grid-area: panel; width: auto; border: 0; border-top: 1px solid var(--line); }
  .head { flex-wrap: wrap; } .head > .segments { order: 9; flex: 1 1 100%; overflow-x: auto; scrollbar-width: none; } .head > .segments button { flex: 1 1 auto; padding: 4px 5px; }
  .status .legend { display: none; } .table .tools { padding: 4px 8px; }
}
@media (prefers-reduced-motion: no-preference) { .icon, .chip, .word, .segments button { transition: background-color .12s, border-color .12s, color .12s; } }
@media (forced-colors: active) {
  .bar, .shares, .legend i, .swatch, .heat div, .keys i, .dot, .cell, .stage, .histogram { forced-color-adjust: none; }
  [aria-pressed="true"], tr[aria-selected=true] { outline: 2px solid Highlight; outline-offset: -2px; }
  .word, .partner, ol.edges button { border: 1px solid ButtonBorder; } .chip, .icon, .segments { border-color: ButtonBorder; }
}
`;

/** Give a shadow root its style: constructable, so that a policy without inline styles allows it. */
export function adoptStyle(root: ShadowRoot): void {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(STYLE);
  root.adoptedStyleSheets = [sheet];
}
