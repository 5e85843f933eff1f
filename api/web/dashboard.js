"use strict";
// The key stays in this tab's session storage; answers are put into the page as text, never as markup.

const STORED = "scanledger-key";
const REFRESH_MS = 2000;
const byId = (id) => document.getElementById(id);
const body = document.querySelector("#scans tbody");
let pages = 1;
let timer = null;

function cell(row, text, className) {
  const td = document.createElement("td");
  td.textContent = text;
  if (className) td.className = className;
  row.append(td);
  return td;
}

function duration(seconds) {
  if (seconds === null) return "…";
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

function line(scan) {
  const row = document.createElement("tr");
  const ended = scan.finished_at !== null;
  cell(row, scan.scan_id, "id");
  const status = cell(row, scan.status, scan.status);
  if (scan.reason) status.title = scan.reason;
  const progress = cell(row, "");
  const bar = document.createElement("progress");
  bar.max = 100;
  bar.value = scan.progress.percent_complete;
  progress.append(bar, ` ${scan.progress.percent_complete} %`);
  cell(row, `${scan.progress.files_processed.toLocaleString()} / ${scan.progress.files_total.toLocaleString()}`, "n");
  cell(row, scan.progress.files_failed.toLocaleString(), "n");
  cell(row, scan.progress.findings_count.toLocaleString(), "n");
  const coverage = scan.coverage;
  const shown = `${(coverage.coverage_pct * 100).toFixed(2)} % of ${(coverage.coverage_target * 100).toFixed(0)} %`;
  const met = cell(row, shown, coverage.target_met ? "completed" : ended ? "partial" : "");
  met.title = Object.entries({ ...coverage.skipped_by_reason, ...coverage.failed_by_reason })
    .map(([reason, count]) => `${reason}: ${count}`).join("\n");
  cell(row, ended ? "" : duration(scan.progress.estimated_remaining_seconds), "n");
  cell(row, new Date(scan.created_at).toLocaleString());
  return row;
}

async function fetched(cursor) {
  const query = new URLSearchParams({ limit: "50" });
  if (cursor) query.set("cursor", cursor);
  const response = await fetch(`/api/v1/scans?${query}`, {
    headers: { Authorization: `Bearer ${sessionStorage.getItem(STORED)}` },
    cache: "no-store",
  });
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.error.message), { status: response.status });
  return answer;
}

async function refresh() {
  clearTimeout(timer);
  try {
    const rows = [];
    let cursor = null;
    for (let page = 0; page < pages; page += 1) {
      const answer = await fetched(cursor);
      rows.push(...answer.data.map(line));
      cursor = answer.pagination.next_cursor;
      if (!cursor) break;
    }
    body.replaceChildren(...rows);
    byId("more").hidden = !cursor;
    byId("notice").textContent = rows.length ? "" : "No scans yet. Start one with: scanledger scan PATH";
    show(true);
  } catch (error) {
    byId("notice").textContent = error.status ? error.message : "The service does not answer; trying again.";
    if (error.status === 401) {
      sessionStorage.removeItem(STORED);
      show(false);
      return;
    }
  }
  timer = setTimeout(refresh, document.hidden ? 10 * REFRESH_MS : REFRESH_MS);
}

function show(known) {
  byId("ask").hidden = known;
  byId("scans").hidden = !known;
  byId("forget").hidden = !known;
}

function use() {
  const key = byId("key").value.trim();
  if (!key) return;
  sessionStorage.setItem(STORED, key);
  byId("key").value = "";
  refresh();
}

byId("use").addEventListener("click", use);
byId("key").addEventListener("keydown", (event) => { if (event.key === "Enter") use(); });
byId("more").addEventListener("click", () => { pages += 1; refresh(); });
byId("forget").addEventListener("click", () => {
  clearTimeout(timer);
  sessionStorage.removeItem(STORED);
  body.replaceChildren();
  byId("more").hidden = true;
  show(false);
});
if (sessionStorage.getItem(STORED)) refresh();
