// What the pages do with a script: times in the reader's zone, charts, keys,
// and staying up to date. Everything can be read without it.
(() => {
  "use strict";
  const all = (root, selector) => [...(root.matches?.(selector) ? [root] : []), ...root.querySelectorAll(selector)];

  // Times: the server writes UTC; the reader sees their own zone, named on hover.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const two = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const formats = {
    moment: new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", ...two }),
    clock: new Intl.DateTimeFormat(undefined, { ...two, second: "2-digit" }),
    day: new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" }),
  };
  const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
  const sameDay = (a, b) => a.toDateString() === b.toDateString();
  function localise(root) {
    for (const t of all(root, "time[datetime]")) {
      const at = new Date(t.dateTime);
      let text = formats[t.dataset.as]?.format(at) ?? formats.moment.format(at);
      if (t.dataset.as === "clock" && !sameDay(at, new Date())) text = formats.moment.format(at);
      if (t.textContent !== text) t.textContent = text;
      const title = `${whole.format(at)} (${zone})`;
      if (t.title !== title) t.title = title;
    }
  }

  // Charts: uPlot draws what data-chart holds, in the page's own colours.
  const drawn = new Map();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const tones = { accent: "accent", idle: "quiet", good: "good", risk: "risk", bad: "bad", moving: "accent" };
  const ink = (tone) => colour(tones[tone] ?? "quiet");
  function soft(c, share) {
    const n = parseInt(c.slice(1), 16);
    return `rgba(${n >> 16}, ${(n >> 8) & 255}, ${n & 255}, ${share})`;
  }
  const number = (v) => (Math.abs(v) >= 100 ? Math.round(v).toLocaleString("en") : String(+v.toPrecision(2))).replace("-", "−");
  function say(c, v) {
    if (v == null) return "–";
    if (c.log) { const e = Math.pow(10, v); return e >= 1e6 || e < 1e-3 ? "10^" + v.toFixed(1) : number(e); }
    return number(v) + (c.unit ? " " + c.unit : "");
  }
  function ticks(c) {
    return (u, values) => values.map((v) => {
      if (!c.log) return number(v) + (c.unit === "%" ? " %" : "");
      if (Math.abs(v - Math.round(v)) > 1e-6) return "";
      return Math.abs(v) <= 3 ? number(Math.pow(10, v)) : "10^" + Math.round(v);
    });
  }
  const hm = new Intl.DateTimeFormat(undefined, two), date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
  function times(u, splits, axis, space, step) {
    return splits.map((s) => {
      const at = new Date(s * 1000);
      if (step >= 86400 || step >= 3600 && at.getHours() === 0 && at.getMinutes() === 0) return date.format(at);
      return (step < 60 ? formats.clock : hm).format(at);
    });
  }
  function lines(c) {
    return (u) => {
      const g = u.ctx, { left, top, width, height } = u.bbox, r = devicePixelRatio;
      g.save();
      g.font = `${11 * r}px ${getComputedStyle(document.body).fontFamily}`;
      g.lineWidth = r;
      g.setLineDash([]);
      for (const m of c.marks) {
        const x = Math.round(u.valToPos(m.at, "x", true));
        if (x < left || x > left + width) continue;
        g.strokeStyle = soft(ink(m.tone), 0.8);
        g.beginPath(); g.moveTo(x, top); g.lineTo(x, top + height); g.stroke();
        g.fillStyle = ink(m.tone);
        g.beginPath(); g.arc(x, top + 3 * r, 3 * r, 0, 7); g.fill();
      }
      g.setLineDash([4 * r, 3 * r]);
      // A name that would stand on another moves aside.
      const taken = [];
      const free = (x, y, w, step) => {
        while (taken.some((t) => Math.abs(t.y - y) < 11 * r && x < t.x + t.w && t.x < x + w)) x += step * r;
        taken.push({ x, y, w });
        return x;
      };
      for (const l of c.lines) {
        const y = Math.round(u.valToPos(l.at, "y", true));
        if (y < top - 1 || y > top + height + 1) continue;
        g.strokeStyle = g.fillStyle = ink(l.tone);
        g.beginPath(); g.moveTo(left, y); g.lineTo(left + width, y); g.stroke();
        g.textAlign = "left"; g.textBaseline = "alphabetic";
        const under = y - 4 * r < top + 10 * r ? y + 12 * r : y - 4 * r, w = g.measureText(l.name).width + 8 * r;
        g.fillText(l.name, free(left + 4 * r, under, w, 8), under);
      }
      g.setLineDash([]);
      c.series.forEach((s, n) => {
        if (!s.named) return;
        let i = c.times.length - 1;
        while (i >= 0 && s.values[i] == null) i--;
        if (i < 0) return;
        const y = u.valToPos(s.values[i], "y", true) - 4 * r, w = g.measureText(s.name).width + 6 * r;
        g.fillStyle = ink(s.tone);
        g.fillText(s.name, free(left + width - w, y, w, -8), y);
      });
      g.restore();
    };
  }
  function range(c) {
    return (u, low, high) => {
      let from = c.min ?? low ?? 0, to = c.max ?? high ?? 1;
      for (const l of c.lines) { from = Math.min(from, c.min ?? l.at); to = Math.max(to, c.max ?? l.at); }
      if (to <= from) to = from + 1;
      const room = (to - from) * 0.12;
      return [c.min ?? from - room, c.max ?? to + room];
    };
  }
  function options(c, box) {
    const axis = { stroke: colour("quiet"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: `11px ${getComputedStyle(document.body).fontFamily}` };
    const stepped = uPlot.paths.stepped({ align: 1 });
    const series = c.series.map((s) => {
      const stroke = ink(s.tone);
      const o = { label: s.name, stroke, width: 1.75, points: { show: false }, spanGaps: s.kind === "dash" };
      if (s.kind === "step") Object.assign(o, { paths: stepped, fill: soft(stroke, 0.16) });
      if (s.kind === "area") o.fill = soft(stroke, 0.12);
      if (s.kind === "dash") o.dash = [5, 4];
      if (s.kind === "low" || s.kind === "high") o.width = 0.75;
      return o;
    });
    const low = c.series.findIndex((s) => s.kind === "low") + 1, high = c.series.findIndex((s) => s.kind === "high") + 1;
    return {
      width: box.clientWidth, height: box.clientHeight, legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: { x: { time: true }, y: { range: range(c) } },
      axes: [{ ...axis, space: 64, size: 26, values: times }, { ...axis, size: 52, values: ticks(c), ...(c.log ? { incrs: [1, 2, 5, 10, 20, 50, 100] } : {}) }],
      bands: low && high ? [{ series: [high, low], fill: soft(colour("accent"), 0.16) }] : [],
      series: [{}, ...series],
      hooks: { draw: [lines(c)], setCursor: [(u) => tip(u, c, box)] },
    };
  }
  function tip(u, c, box) {
    let t = box.querySelector(".tip");
    if (!t) { t = document.createElement("div"); t.className = "tip"; box.append(t); }
    const i = u.cursor.idx;
    t.hidden = i == null || u.cursor.left < 0;
    if (t.hidden) return;
    const said = c.series.map((s, n) => [s, u.data[n + 1][i]]).filter(([, v]) => v != null).map(([s, v]) => `${s.name} ${say(c, v)}`);
    const near = c.marks.filter((m) => Math.abs(u.valToPos(m.at, "x") - u.cursor.left) < 8).map((m) => m.name);
    t.textContent = [...near, formats.moment.format(new Date(u.data[0][i] * 1000)), ...said].join(" · ");
    const x = u.cursor.left + u.bbox.left / devicePixelRatio;
    t.style.left = Math.max(0, Math.min(x + 8, box.clientWidth - t.offsetWidth)) + "px";
  }
  function draw(box, anew) {
    if (!window.uPlot || !box.clientWidth) return;
    const text = box.dataset.chart, before = drawn.get(box);
    if (before && before.text === text && !anew) return;
    const c = JSON.parse(text), data = [c.times, ...c.series.map((s) => s.values)];
    before?.plot.destroy();
    box.querySelector(".tip")?.remove();
    const plot = new uPlot(options(c, box), data, box);
    drawn.set(box, { text, plot });
    // A mark leads to what it stands for; the list below the chart does too.
    plot.over.addEventListener("click", () => {
      const at = c.marks.find((m) => m.href && Math.abs(plot.valToPos(m.at, "x") - plot.cursor.left) < 8);
      if (at) location.href = at.href;
    });
  }
  function drawAll(root, anew) { for (const box of all(root, "[data-chart]")) draw(box, anew); }
  new (window.ResizeObserver ?? class { observe() {} })(() => {
    for (const [box, d] of drawn) {
      if (!box.isConnected) { d.plot.destroy(); drawn.delete(box); }
      else if (d.plot.width !== box.clientWidth) d.plot.setSize({ width: box.clientWidth, height: box.clientHeight });
    }
  }).observe(document.body);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(document, true));

  // Whatever arrives in the page is localised and drawn before it is painted.
  new MutationObserver((records) => {
    for (const r of records) {
      const at = r.target.nodeType === 1 ? r.target : r.target.parentElement;
      if (!at || at.closest(".plot") && r.type !== "attributes") continue;
      localise(at.closest("time") ?? at);
      drawAll(at);
    }
  }).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ["data-chart", "datetime"] });

  // Staying up to date: an event of a kind the page shows makes it stale, once
  // in a while at most, and not while somebody writes in it or looks elsewhere.
  const main = () => document.getElementById("main");
  const began = Date.now();
  let stale = 0, last = 0, stream = null;
  const writing = () => { const e = document.activeElement; return e && main().contains(e) && /^(INPUT|TEXTAREA|SELECT)$/.test(e.tagName) && e.value !== e.defaultValue; };
  function refresh() {
    stale = 0;
    if (document.hidden || writing()) { stale = setTimeout(refresh, 2000); return; }
    last = Date.now();
    main().dispatchEvent(new CustomEvent("stale"));
  }
  function outdated() { if (!stale) stale = setTimeout(refresh, Math.max(150, 1000 - (Date.now() - last))); }
  function follow() {
    const types = document.body.dataset.live;
    if (!types || stream || !window.EventSource) return;
    // What happened while the page was on its way is not missed.
    const after = last === began ? { after: document.body.dataset.after } : {};
    stream = new EventSource("/events?" + new URLSearchParams({ types, ...after }));
    stream.onmessage = outdated;
  }
  function watch() {
    if (document.hidden) { stream?.close(); stream = null; return; }
    if (!stream && last) outdated();
    last ||= began;
    follow();
  }
  document.addEventListener("visibilitychange", watch);
  const every = Number(document.body.dataset.every);
  if (every) setInterval(() => { if (!document.hidden) outdated(); }, every * 1000);

  // Keys.
  const places = { n: "/", s: "/services", c: "/changes", r: "/rollouts", o: "/objectives", i: "/incidents", d: "/insights", p: "/policies", a: "/audit" };
  let going = 0;
  function row(step) {
    const rows = [...document.querySelectorAll("main tbody tr:has(a), main li.row:has(a)")];
    if (!rows.length) return;
    const now = rows.findIndex((r) => r.contains(document.activeElement));
    rows[Math.max(0, Math.min(rows.length - 1, now + step))].querySelector("a").focus();
  }
  document.addEventListener("keydown", (e) => {
    const field = /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName);
    if (e.key === "Escape" && field) e.target.blur();
    if (field || e.ctrlKey || e.metaKey || e.altKey) return;
    const after = going && Date.now() - going < 1500;
    going = 0;
    if (after && places[e.key]) location.href = places[e.key];
    else if (e.key === "g") going = Date.now();
    else if (e.key === "/") { e.preventDefault(); document.getElementById("q").focus(); }
    else if (e.key === "?") location.href = "/keys";
    else if (e.key === "j") row(1);
    else if (e.key === "k") row(-1);
  });

  // A slider over the nines fills in the target: three digits of what may be bad.
  document.addEventListener("input", (e) => {
    const slider = e.target.closest?.("[data-nines]"), field = e.target.closest?.("[data-target]");
    const form = e.target.form;
    if (slider) form.querySelector("[data-target]").value = +(100 - +(100 * Math.pow(10, -slider.value)).toPrecision(2)).toFixed(4);
    if (field) form.querySelector("[data-nines]").value = -Math.log10(Math.max(1e-5, 1 - field.value / 100));
  }, true);

  // Signing in: a token behind the # never leaves the browser but in the form.
  const sign = document.getElementById("sign");
  if (sign && location.hash.length > 1) {
    const token = decodeURIComponent(location.hash.slice(1));
    history.replaceState(null, "", location.pathname + location.search);
    sign.elements.token.value = token;
    sign.submit();
  }

  document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  localise(document);
  drawAll(document);
  watch();
})();
