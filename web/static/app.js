// What the pages of upkeep do beyond HTML: the theme, times in the reader's own
// zone, keys, charts, and logs that grow. Every page reads without it.
(() => {
  "use strict";
  const root = document.documentElement;
  const stored = (key, value) => {
    try {
      if (value === undefined) return localStorage.getItem(key);
      localStorage.setItem(key, value);
    } catch { /* a browser that keeps nothing */ }
    return null;
  };
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // The theme, before anything is drawn.
  const theme = stored("upkeep-theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const changeTheme = () => {
    root.dataset.theme = dark() ? "light" : "dark";
    stored("upkeep-theme", root.dataset.theme);
    drawCharts(true);
  };

  // Times: the title has the schedule's zone and UTC; the reader's is added.
  const addLocal = (e) => {
    const t = e.target.closest?.("time[datetime]");
    if (!t || t.dataset.local) return;
    t.dataset.local = "yes";
    t.title += " = " + new Date(t.dateTime).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) + " where you are";
  };

  // Keys: g and a letter open a page, / searches, t changes the theme.
  const places = { o: "/", w: "/workflows", r: "/runs", b: "/backups", c: "/checks", i: "/incidents", k: "/kpis", p: "/plan", s: "/system" };
  let going = 0;
  const onKey = (e) => {
    if (e.key === "Escape") closePops();
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest?.("input, select, textarea, [contenteditable]")) return;
    if (Date.now() - going < 1500 && places[e.key]) { going = 0; location.href = places[e.key]; return; }
    going = 0;
    if (e.key === "g") going = Date.now();
    else if (e.key === "t") changeTheme();
    else if (e.key === "/") {
      const search = all("input[type=search]").find((s) => s.offsetParent);
      if (search) { e.preventDefault(); search.focus(); search.select(); }
    }
  };

  // Pop-overs close when one looks elsewhere.
  const closePops = (but) => all("details.pop[open]").forEach((d) => {
    if (d.contains(but)) return;
    if (!but && d.contains(document.activeElement)) d.querySelector("summary").focus();
    d.open = false;
  });

  // On a narrow window the menu is a line: where one is, is in sight.
  const showPlace = () => {
    const here = document.querySelector(".nav [aria-current]"), line = here?.closest("ul");
    if (line && line.scrollWidth > line.clientWidth) line.scrollLeft = here.offsetLeft - (line.clientWidth - here.offsetWidth) / 2;
  };

  const onClick = (e) => {
    closePops(e.target);
    const copy = e.target.closest?.("button.copy");
    if (!copy || !navigator.clipboard) return;
    navigator.clipboard.writeText(copy.parentElement.querySelector("code").textContent).then(() => {
      copy.textContent = "Copied";
      setTimeout(() => { copy.textContent = "Copy"; }, 1500);
    }, () => {});
  };
  const onSubmit = (e) => {
    const question = e.target.dataset.confirm;
    if (question && !confirm(question)) e.preventDefault();
  };

  // What was fetched anew: quiet while nobody looks or somebody fills a form in,
  // and never an error in place of what is shown.
  const lost = (is) => { const at = document.getElementById("lost"); if (at && at.hidden === is) at.hidden = !is; };
  const busy = () => document.hidden || document.querySelector("#live details.pop[open]") ||
    document.activeElement?.closest?.("#live form") || String(getSelection?.() || "").length > 0;
  const watchRefreshes = () => {
    document.addEventListener("htmx:before:request", (e) => { if (e.target.id === "live" && busy()) e.preventDefault(); });
    document.addEventListener("htmx:before:response", (e) => {
      const status = e.detail.ctx.response.status;
      if (status >= 400 || e.detail.ctx.response.raw.redirected) { e.preventDefault(); lost(true); }
    });
    document.addEventListener("htmx:error", () => lost(true));
    document.addEventListener("htmx:after:swap", () => { lost(false); furnish(); });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) [...streams.keys()].forEach(silence);
      else { refresh(); followChanges(); }
    });
  };
  let due = 0;
  const refresh = () => {
    if (due) return;
    due = setTimeout(() => {
      due = 0;
      const live = document.getElementById("live");
      if (live && window.htmx) htmx.trigger(live, "refresh");
    }, 400);
  };

  // Streams say that something changed; what it is, is fetched. A page that
  // nobody looks at listens to nothing: browsers open few connections to a host.
  const streams = new Map();
  const listen = (url, kinds, heard) => {
    const stream = new EventSource(url);
    kinds.forEach((kind) => stream.addEventListener(kind, heard));
    streams.set(url, stream);
    return stream;
  };
  const silence = (url) => { streams.get(url)?.close(); streams.delete(url); };
  const followChanges = () => {
    if (!window.EventSource || document.hidden) return;
    const wanted = new Set();
    const topics = document.querySelector("[data-follow]")?.dataset.follow.split(" ");
    if (topics) {
      const url = "/api/v1/changes";
      wanted.add(url);
      if (!streams.has(url)) listen(url, ["changes"], (e) => { if (JSON.parse(e.data).topics.some((t) => topics.includes(t))) refresh(); });
    }
    const run = document.querySelector("[data-run]")?.dataset.run;
    if (run) {
      const url = "/api/v1/runs/" + encodeURIComponent(run) + "/events";
      wanted.add(url);
      if (!streams.has(url)) {
        listen(url, ["snapshot", "run_started", "attempt_started", "attempt_progress", "attempt_waiting", "attempt_ended", "run_noted", "run_ended"], (e) => {
          refresh();
          if (e.type === "attempt_progress") showProgress(JSON.parse(e.data).progress);
          if (e.type === "run_ended") streams.get(url)?.close(); // it is over; the page says so soon
        });
      }
    }
    for (const url of [...streams.keys()]) if (!wanted.has(url)) silence(url);
  };
  const showProgress = (p) => {
    const at = p && document.getElementById("progress-" + p.job);
    if (!at) return;
    const write = p.unit?.startsWith("bytes") ? units.bytes : (v) => v.toLocaleString("en");
    const unit = (p.unit || "").replace(/^bytes/, "").trim();
    at.textContent = (p.total > 0 ? Math.floor(100 * Math.min(1, p.done / p.total)) + " %, " + write(p.done) + " of " + write(p.total) : write(p.done)) + (unit ? " " + unit : "");
  };

  // Charts.
  const drawn = new Map();
  const color = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const resolve = (name) => { // light-dark() has to be computed by an element
    const probe = document.createElement("i");
    probe.className = "visually-hidden";
    document.body.append(probe);
    probe.style.color = `var(${name})`;
    const value = getComputedStyle(probe).color;
    probe.remove();
    return value || color(name);
  };
  const units = {
    seconds: (v) => {
      if (v == null) return "–";
      if (v === 0) return "0";
      if (v < 1) return +(v * 1000).toPrecision(3) + " ms";
      if (v < 60) return +v.toPrecision(3) + " s";
      const m = Math.floor(Math.round(v) / 60), s = Math.round(v) % 60;
      return m < 60 ? m + "m" + (s ? s + "s" : "") : Math.floor(m / 60) + "h" + (m % 60 ? m % 60 + "m" : "");
    },
    bytes: (v) => { if (v == null) return "–"; let i = 0; for (; v >= 1024 && i < 5; i++) v /= 1024; return +v.toFixed(1) + " " + ["B", "KiB", "MiB", "GiB", "TiB", "PiB"][i]; },
    share: (v) => v == null ? "–" : +(v * 100).toFixed(2) + " %",
    percent: (v) => v == null ? "–" : +v.toFixed(1) + " %",
  };
  const drawCharts = (anew) => {
    if (!window.uPlot) return;
    for (const figure of all("[data-chart]")) {
      const id = figure.dataset.chart, plot = document.getElementById(id + "-plot");
      if (drawn.has(id) && drawn.get(id).root.isConnected) { if (!anew) continue; drawn.get(id).destroy(); }
      const data = JSON.parse(document.getElementById(id + "-data").textContent);
      const write = units[data.unit] || ((v) => v == null ? "–" : String(+v.toFixed(3)));
      const muted = resolve("--muted"), line = resolve("--line");
      const axis = { stroke: muted, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
      const day = new Intl.DateTimeFormat("en-GB", { timeZone: data.zone, day: "numeric", month: "short" });
      const clock = new Intl.DateTimeFormat("en-GB", { timeZone: data.zone, hour: "2-digit", minute: "2-digit" });
      const days = data.x.length && data.x.at(-1) - data.x[0] > 2 * 86400;
      const when = (ts) => ts == null ? "–" : (days ? day.format(ts * 1e3) : clock.format(ts * 1e3));
      const width = () => Math.max(200, plot.clientWidth);
      // A point between two gaps has no line: it is drawn as one.
      const alone = (u, i, shown) => shown ? null : u.data[i].flatMap((y, at, ys) => y != null && ys[at - 1] == null && ys[at + 1] == null ? at : []);
      const tones = ["--accent", "--warn", "--bad", "--good"];
      const chart = new uPlot({
        width: width(), height: data.height || 200, padding: [10, 24, 0, 4],
        tzDate: (ts) => data.zone ? uPlot.tzDate(new Date(ts * 1e3), data.zone) : new Date(ts * 1e3),
        cursor: { points: { size: 7 } },
        scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), (high || 1) * 1.1] } },
        axes: [{ ...axis, values: (_, list) => list.map(when) }, { ...axis, size: 68, values: (_, list) => list.map(write) }],
        series: [{ label: "when", value: (_, ts) => ts == null ? "–" : day.format(ts * 1e3) + " " + clock.format(ts * 1e3) }, ...data.series.map((s, i) => ({
          label: s.label, stroke: resolve(s.tone ? "--" + s.tone : tones[i % tones.length]), width: s.points ? 0 : 1.7, dash: s.dash ? [5, 4] : undefined,
          paths: s.points ? () => null : undefined, points: { show: !!s.points || data.x.length < 60, filter: alone, size: s.points ? 9 : 5, fill: s.points ? resolve(s.tone ? "--" + s.tone : tones[i % tones.length]) : undefined }, value: (_, v) => write(v), spanGaps: !!s.span,
        }))],
      }, [data.x, ...data.series.map((s) => s.y)], plot);
      drawn.set(id, chart);
      new ResizeObserver(() => { const w = width(); if (w !== chart.width) chart.setSize({ width: w, height: chart.height }); }).observe(plot);
      if (data.href) chart.over.addEventListener("click", () => { const to = data.href[chart.cursor.idx]; if (to) location.href = to; });
    }
  };

  // Logs.
  const logs = new WeakSet();
  const openLog = (box) => {
    if (logs.has(box)) return;
    logs.add(box);
    const pre = box.querySelector("pre"), find = box.querySelector("input[type=search]"), said = box.querySelector(".found");
    const follow = box.querySelector("input[name=follow]");
    all("[data-script]", box).forEach((e) => { e.hidden = false; });
    let marks = [], at = -1;
    const mark = () => {
      const text = pre.textContent, word = find.value.toLowerCase();
      marks = []; at = -1;
      pre.textContent = "";
      const parts = document.createDocumentFragment();
      let from = 0;
      for (let i; word && marks.length < 5000 && (i = text.toLowerCase().indexOf(word, from)) >= 0; from = i + word.length) {
        parts.append(text.slice(from, i));
        const m = document.createElement("mark");
        m.textContent = text.slice(i, i + word.length);
        marks.push(m);
        parts.append(m);
      }
      parts.append(text.slice(from));
      pre.append(parts);
      said.textContent = word ? (marks.length ? marks.length + " found" : "not found") : "";
    };
    const step = (by) => {
      if (!marks.length) return;
      marks[at]?.classList.remove("now");
      at = (at + by + marks.length) % marks.length;
      marks[at].classList.add("now");
      marks[at].scrollIntoView({ block: "nearest" });
      said.textContent = at + 1 + " of " + marks.length;
    };
    find?.addEventListener("input", mark);
    find?.addEventListener("keydown", (e) => { if (e.key === "Enter") { e.preventDefault(); step(e.shiftKey ? -1 : 1); } });
    const bottom = () => { pre.scrollTop = pre.scrollHeight; };
    if (follow?.checked) bottom();
    follow?.addEventListener("change", () => { if (follow.checked) bottom(); });
    pre.addEventListener("scroll", () => { if (follow && pre.scrollHeight - pre.scrollTop - pre.clientHeight > 60) follow.checked = false; });
    if (box.dataset.live !== "true" || !window.EventSource) return;
    const most = 4 << 20; // characters that the page keeps
    const put = (text) => {
      pre.append(text);
      if (pre.textContent.length > most) pre.textContent = "…" + pre.textContent.slice(-most / 2);
      if (find?.value) mark();
      if (follow?.checked) bottom();
    };
    let next = Number(box.dataset.next), stream = null, over = false;
    const go = () => {
      if (over || stream || document.hidden || !box.isConnected) return;
      stream = new EventSource(box.dataset.events + "?from=" + next);
      stream.addEventListener("output", (e) => { const o = JSON.parse(e.data); next = o.next; put(o.text); });
      stream.addEventListener("cut", (e) => { const o = JSON.parse(e.data); next = o.next; put("\n… " + (o.next - o.from) + " bytes were not kept …\n"); });
      stream.addEventListener("end", () => { over = true; stop(); refresh(); });
      stream.addEventListener("shutdown", stop);
    };
    const stop = () => { stream?.close(); stream = null; };
    document.addEventListener("visibilitychange", () => document.hidden ? stop() : go());
    go();
    logsOpen.push({ box, stop });
  };
  const logsOpen = [];

  const furnish = () => {
    if (navigator.clipboard) all("button.copy").forEach((b) => { b.hidden = false; });
    logsOpen.filter((l) => !l.box.isConnected).forEach((l) => l.stop());
    all("[data-log]").forEach(openLog);
    drawCharts(false);
    followChanges();
  };

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (button) { button.hidden = false; button.addEventListener("click", changeTheme); }
    ["mouseover", "focusin"].forEach((name) => document.addEventListener(name, addLocal));
    document.addEventListener("keydown", onKey);
    document.addEventListener("click", onClick);
    document.addEventListener("submit", onSubmit);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawCharts(true));
    showPlace();
    watchRefreshes();
    furnish();
  });
})();
